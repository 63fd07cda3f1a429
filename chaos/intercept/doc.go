// Package intercept starts a process and decides about each of its fsync,
// fdatasync and syncfs calls: they can be held, delayed, or made to fail without
// being executed. Asynchronous I/O, which would go around them, is not available to the
// process. It needs Linux, and no privilege.
//
//	i := &intercept.Interceptor{}
//	cmd, attach, err := i.Command("bin/ottla", "serve")
//	err = cmd.Start()
//	err = attach()
//	i.Set(func(path string) (syscall.Errno, time.Duration) { return syscall.EIO, 0 })
//
// The program that does this calls Main first.
package intercept
