package replica

import (
	"fmt"
	"log/slog"
)

// raftLogger sends raft's own lines to slog. Raft narrates every election at
// info level; with many partitions that is noise, so it becomes debug.
type raftLogger struct{ l *slog.Logger }

func (r raftLogger) Debug(v ...any)              { r.l.Debug(fmt.Sprint(v...)) }
func (r raftLogger) Info(v ...any)               { r.l.Debug(fmt.Sprint(v...)) }
func (r raftLogger) Warning(v ...any)            { r.l.Warn(fmt.Sprint(v...)) }
func (r raftLogger) Error(v ...any)              { r.l.Error(fmt.Sprint(v...)) }
func (r raftLogger) Infof(f string, v ...any)    { r.debugf(f, v) }
func (r raftLogger) Debugf(f string, v ...any)   { r.debugf(f, v) }
func (r raftLogger) Warningf(f string, v ...any) { r.l.Warn(fmt.Sprintf(f, v...)) }
func (r raftLogger) Errorf(f string, v ...any)   { r.l.Error(fmt.Sprintf(f, v...)) }

func (r raftLogger) debugf(f string, v []any) {
	if r.l.Enabled(nil, slog.LevelDebug) { //nolint:staticcheck // slog allows a nil context
		r.l.Debug(fmt.Sprintf(f, v...))
	}
}

// Fatal and Panic are raft's word for a broken invariant. Both panic: the
// supervisor stops the replica, the process goes on.
func (r raftLogger) Fatal(v ...any)            { panic("raft: " + fmt.Sprint(v...)) }
func (r raftLogger) Panic(v ...any)            { panic("raft: " + fmt.Sprint(v...)) }
func (r raftLogger) Fatalf(f string, v ...any) { panic("raft: " + fmt.Sprintf(f, v...)) }
func (r raftLogger) Panicf(f string, v ...any) { panic("raft: " + fmt.Sprintf(f, v...)) }
