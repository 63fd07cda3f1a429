package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"ottla/protocol"
)

const (
	maxLogDirectoryDepth     = 8    // components; the search for lost manifests goes as deep
	maxLogDirectoryLength    = 1024 // bytes
	maxLogDirectoryComponent = 200  // bytes
)

// CheckLogDirectory refuses rel as a new cluster's log directory below dataDir,
// where existing are in use; nil if it is fine. Errors: directory_escapes for a
// path that leaves the data directory or names one of Ottla's own files,
// directory_in_use for one equal to, inside or around an existing one.
func CheckLogDirectory(dataDir, rel string, existing []string) *protocol.Error {
	if reason := badLogDirectory(rel); reason != "" {
		return protocol.Errorf(protocol.CodeDirectoryEscapes, "log_directory %q %s", rel, reason)
	}
	here, err := resolveBelow(dataDir, rel)
	if err != nil {
		return protocol.Errorf(protocol.CodeDirectoryEscapes, "log_directory %q: %v", rel, err)
	}
	for _, other := range existing {
		there, err := resolveBelow(dataDir, other)
		if err != nil {
			there = filepath.Clean(other) // it cannot be looked up now, but is in use
		}
		if within(here, there) || within(there, here) {
			return protocol.Errorf(protocol.CodeDirectoryInUse,
				"log_directory %q is equal to, inside or around %q of another cluster", rel, other).With("log_directory", other)
		}
	}
	return nil
}

// badLogDirectory says what is wrong with the text alone, "" if nothing is.
func badLogDirectory(rel string) string {
	switch {
	case rel == "":
		return "is empty"
	case len(rel) > maxLogDirectoryLength:
		return "is too long"
	case !utf8.ValidString(rel):
		return "is not UTF-8"
	case strings.HasPrefix(rel, "/") || filepath.IsAbs(rel):
		return "is absolute"
	}
	parts := strings.Split(rel, "/")
	if len(parts) > maxLogDirectoryDepth {
		return "is too deep"
	}
	for _, part := range parts {
		if reason := badComponent(part); reason != "" {
			return reason
		}
	}
	if !filepath.IsLocal(filepath.FromSlash(rel)) {
		return "is not below the data directory"
	}
	return ""
}

func badComponent(part string) string {
	switch {
	case part == "":
		return "has an empty component"
	case part == "." || part == "..":
		return "has the component " + part
	case len(part) > maxLogDirectoryComponent:
		return "has a component that is too long"
	case strings.ContainsFunc(part, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }):
		return "has a control character or backslash"
	}
	// Compared without case, because some filesystems do so too.
	for _, own := range []string{lockName, ManifestName, ManifestName + ".tmp", ledgerName, ledgerName + ".tmp"} {
		if strings.EqualFold(part, own) {
			return "has the component " + part + ", which is the name of one of Ottla's own files"
		}
	}
	return ""
}

// resolveBelow follows the symbolic links in the part of rel that exists and
// returns the path relative to dataDir. Errors: it is outside of the data
// directory, or the data directory itself, or cannot be looked up.
func resolveBelow(dataDir, rel string) (string, error) {
	root, err := filepath.EvalSymlinks(dataDir)
	if err != nil {
		return "", err
	}
	head, tail := filepath.Join(root, filepath.FromSlash(rel)), ""
	for head != root {
		info, err := os.Lstat(head)
		if err == nil {
			if head, err = realDirectory(head, info); err != nil {
				return "", err
			}
			break
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", errors.New("cannot be looked up")
		}
		head, tail = filepath.Dir(head), filepath.Join(filepath.Base(head), tail)
	}
	out, err := filepath.Rel(root, filepath.Join(head, tail))
	if err != nil || out == "." || !filepath.IsLocal(out) {
		return "", errors.New("leads out of the data directory")
	}
	return out, nil
}

// realDirectory resolves an existing path. A dangling link is refused too:
// what it points to may come up later.
func realDirectory(path string, info os.FileInfo) (string, error) {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", errors.New("has a symbolic link whose target does not exist")
	}
	if info.Mode()&os.ModeSymlink != 0 {
		if info, err = os.Stat(target); err != nil {
			return "", errors.New("cannot be looked up")
		}
	}
	if !info.IsDir() {
		return "", errors.New("a file is in the way")
	}
	return target, nil
}

// within reports whether clean relative path a is b or below it.
func within(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+string(filepath.Separator))
}
