package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"path"
	"sync"
)

//go:embed dist
var files embed.FS

// Policy is the Content-Security-Policy that the page works under: nothing from
// elsewhere, nothing inline, no frame around it.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Index is the name of the page itself.
const Index = "index.html"

// File is one file of the page.
type File struct {
	Type    string // media type
	ETag    string // changes with the content; quoted
	Content []byte // not to be changed, as Gzip
	Gzip    []byte // the same, compressed
}

var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
}

var all = sync.OnceValues(func() (map[string]*File, error) {
	entries, err := files.ReadDir("dist")
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	made := map[string]*File{}
	for _, entry := range entries {
		content, err := files.ReadFile("dist/" + entry.Name())
		if err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
		var zipped bytes.Buffer
		w, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
		if err == nil {
			_, err = w.Write(content)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("console: compress %s: %w", entry.Name(), err)
		}
		sum := sha256.Sum256(content)
		made[entry.Name()] = &File{
			Type: mediaTypes[path.Ext(entry.Name())], ETag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
			Content: content, Gzip: zipped.Bytes(),
		}
	}
	return made, nil
})

// Open returns a file of the page; nil if there is none of that name. The first call
// compresses all of them. Error: what is embedded cannot be read.
func Open(name string) (*File, error) {
	made, err := all()
	return made[name], err
}
