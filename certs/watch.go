package certs

import (
	"crypto/tls"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// watched is what was read last from some files.
type watched struct {
	files []string // that with the certificate first; empty names are left out
	load  func() (*tls.Config, error)
	log   *slog.Logger
	now   func() time.Time

	mu      sync.Mutex
	config  *tls.Config
	seen    []stamp // when the files were read, or found unusable
	checked time.Time
}

// watch reads the files for the first time.
func watch(files []string, load func() (*tls.Config, error), log *slog.Logger, now func() time.Time) (w *watched, err error) {
	w = &watched{files: files, load: load, log: log, now: now, checked: now()}
	w.seen = w.stamps()
	w.config, err = load()
	return w, err
}

// current is what the files say, or said when they could last be used.
func (w *watched) current() *tls.Config {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if now.Sub(w.checked) < checkEvery {
		return w.config
	}
	w.checked = now
	stamps := w.stamps()
	if slices.Equal(stamps, w.seen) {
		return w.config
	}
	w.seen = stamps
	config, err := w.load()
	if err != nil {
		w.log.Error("the changed TLS files cannot be used, the old certificate stays in force", "error", err)
		return w.config
	}
	w.config = config
	w.log.Info("the TLS files were read again", "cert", w.files[0])
	return w.config
}

// stamp tells whether a file is the same as before. Its zero value stands for a
// file that cannot be looked at.
type stamp struct{ modified, size int64 }

func (w *watched) stamps() []stamp {
	stamps := make([]stamp, len(w.files))
	for i, name := range w.files {
		if fi, err := os.Stat(name); name != "" && err == nil {
			stamps[i] = stamp{fi.ModTime().UnixNano(), fi.Size()}
		}
	}
	return stamps
}
