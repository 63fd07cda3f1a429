package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ottla/actors/datadir"
	"ottla/logfile"
)

func newLog(p *process) *cobra.Command {
	return family("log", "Verify, print and repair log files, offline",
		newLogVerify(p), newLogCat(p), newLogRepair(p))
}

func newLogVerify(p *process) *cobra.Command {
	return &cobra.Command{
		Use:   "verify DIR",
		Short: "Check every file of a data directory, or of anything below it",
		Long: "Check every log file, manifest and ledger in DIR, a data directory or anything\n" +
			"below it. For each damaged file a line with its path and the byte where the damage\n" +
			"begins is printed, and the exit status is 1. The server must not be running.",
		Example: "  ottla log verify ./data\n  ottla log verify ./data/default/broker-1/liked-0",
		Args:    exactArgs("a DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			release, err := datadir.LockOffline(args[0])
			if err != nil {
				return offlineError(err)
			}
			defer release()
			return verify(p, args[0])
		},
	}
}

// offlineError explains a directory that is in use.
func offlineError(err error) error {
	return fmt.Errorf("%w; stop the server first, or look at a copy", err)
}

func verify(p *process, dir string) error {
	files, size, err := countLogs(dir)
	if err != nil {
		return err
	}
	if files == 0 {
		return fmt.Errorf("no log files in %s or below it", dir)
	}
	damaged := 0
	reading := &readProgress{FS: logfile.OSFS{}, progress: newProgress(p, "files", size)}
	defer reading.progress.end()
	report := func(path string, offset int64, err error) {
		damaged++
		reading.progress.end() // removes the line, keeps the count
		fmt.Fprintf(p.stdout, "%s: damaged at byte %d: %s\n", path, offset, oneLine(err))
	}
	if err := logfile.Verify(reading, dir, report); err != nil {
		return err
	}
	if err := datadir.VerifyManifests(dir, func(path string, err error) { report(path, 0, err) }); err != nil {
		return err
	}
	reading.progress.end()
	if damaged > 0 {
		return fmt.Errorf("%s; 'ottla log repair %s' says what can be done", count(damaged, "damaged file"), dir)
	}
	fmt.Fprintf(p.stderr, "%s, no damage\n", count(files, "log file"))
	return nil
}

// oneLine returns the text of an error on one line, whatever it quotes.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// countLogs counts the log files in dir and below it, and their bytes.
func countLogs(dir string) (n int, size int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".log") {
			n++
			if info, err := d.Info(); err == nil { // verify reports what is wrong with it
				size += info.Size()
			}
		}
		return err
	})
	return n, size, err
}

// readProgress is a file system that shows progress while it is read.
type readProgress struct {
	logfile.FS
	progress *progress
	files    int
	bytes    int64
}

func (r *readProgress) OpenFile(name string, flag int, perm fs.FileMode) (logfile.Handle, error) {
	h, err := r.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	r.files++
	return &readHandle{Handle: h, r: r}, nil
}

type readHandle struct {
	logfile.Handle
	r   *readProgress
	end int64 // of what was read so far; some bytes are read twice
}

func (h *readHandle) ReadAt(p []byte, off int64) (int, error) {
	n, err := h.Handle.ReadAt(p, off)
	if end := off + int64(n); end > h.end {
		h.r.bytes += end - h.end
		h.end = end
	}
	h.r.progress.update(h.r.files, h.r.bytes)
	return n, err
}

func newLogCat(p *process) *cobra.Command {
	return &cobra.Command{
		Use:   "cat DIR",
		Short: "Print the records of logs as they are in the files",
		Long: "Print the records of every log in DIR or below it, one per line, after checking\n" +
			"their checksums. It stops at damage. A data directory has the copies of all\n" +
			"replicas; name one broker's directory to see each record once. The last records of\n" +
			"a log may not be committed.",
		Example: "  ottla log cat ./data/default/broker-1/liked-0",
		Args:    exactArgs("a DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			out := bufio.NewWriterSize(p.stdout, 256<<10)
			err := logfile.WalkFrames(logfile.OSFS{}, args[0], func(_ string, _ logfile.Identity, f logfile.Frame) error {
				if f.Kind != logfile.KindRecords && f.Kind != logfile.KindCompacted {
					return nil
				}
				for line := range bytes.Lines(f.Body) {
					if line[0] == '#' {
						continue
					}
					if _, err := out.Write(line); err != nil {
						return fmt.Errorf("print: %w", err)
					}
				}
				return nil
			})
			return errors.Join(err, out.Flush())
		},
	}
}
