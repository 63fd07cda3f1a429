// Package console is the page in the browser: files made of the sources beside it, by
// make console, and embedded. It shows and does nothing that the public API does not.
//
// src has the sources, in TypeScript; third_party the libraries that they use, as
// published, with their licences; build the bundler, a module of its own; dist the
// files. They are committed, so that building the server needs Go only, and a test of
// build holds them against the sources.
package console
