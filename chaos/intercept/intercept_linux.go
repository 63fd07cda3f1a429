package intercept

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Interceptor decides about every fsync, fdatasync and syncfs of a process. A
// seccomp filter passes these calls to this process (seccomp_unotify(2)). Asynchronous
// I/O, by which files can be synced without them, is not available to it (io_setup(2)); no
// other call is touched or slowed down. A call that is made to fail is not executed, so
// what it should have made durable is not durable.
type Interceptor struct {
	mu   sync.Mutex
	rule Rule
	hits int           // calls that were delayed or failed
	held chan struct{} // all calls wait until it is closed; nil: none waits
}

// Set replaces the rule; nil lets every sync pass. It returns how many calls the
// old rule has delayed or failed.
func (i *Interceptor) Set(r Rule) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	hits := i.hits
	i.rule, i.hits = r, 0
	return hits
}

// Changed returns how many calls the present rule has delayed or failed, and Hold
// has held, since the last Set.
func (i *Interceptor) Changed() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.hits
}

// Hold makes every sync wait, as on a disk that hangs, until release is called.
func (i *Interceptor) Hold() (release func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	held := make(chan struct{})
	i.held = held
	return sync.OnceFunc(func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.held = nil
		close(held)
	})
}

// decide returns the error with which a call fails, 0 for none, and a function that
// waits until the call is due, nil for none.
func (i *Interceptor) decide(path string) (errno syscall.Errno, wait func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var long time.Duration
	if i.rule != nil {
		errno, long = i.rule(path)
	}
	held := i.held
	if errno == 0 && long == 0 && held == nil {
		return 0, nil
	}
	i.hits++
	if held != nil {
		return errno, func() { <-held }
	}
	if long == 0 {
		return errno, nil
	}
	return errno, func() { <-time.After(long) }
}

// Command prepares a process; attach must be called once it is started.
func (i *Interceptor) Command(binary string, args ...string) (cmd *exec.Cmd, attach func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs := os.NewFile(uintptr(pair[1]), "socketpair")
	cmd = exec.Command(self, append([]string{arg, binary}, args...)...)
	cmd.ExtraFiles = []*os.File{theirs}
	attach = func() error {
		defer func() { _ = unix.Close(pair[0]) }()
		if err := theirs.Close(); err != nil { // so that receiveFile ends if the process does
			return err
		}
		listener, err := receiveFile(pair[0])
		if err != nil {
			return fmt.Errorf("intercept syncs: %w", err)
		}
		go i.serve(listener)
		return nil
	}
	return cmd, attach, nil
}

// receiveFile receives a file descriptor from a socket.
func receiveFile(socket int) (int, error) {
	buf, control := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, buf, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) == 0 {
		return 0, errors.New("the filter could not be installed")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return 0, errors.New("the filter could not be installed")
	}
	return fds[0], nil
}

// become installs the filter on this thread, sends its listener to the parent
// process over descriptor 3, and executes the program. It returns only if that
// fails.
func become(argv []string) error {
	runtime.LockOSThread() // the filter belongs to the thread, and exec keeps that thread
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 5, K: unix.SYS_FSYNC},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 4, K: unix.SYS_FDATASYNC},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 3, K: unix.SYS_SYNCFS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: unix.SYS_IO_SETUP},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(int(listener)), nil, 0); err != nil {
		return fmt.Errorf("send the listener: %w", err)
	}
	for _, fd := range []int{3, int(listener)} {
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, argv, os.Environ())
}

// The kernel's structures, see seccomp_unotify(2).
type (
	notification struct {
		id    uint64
		pid   uint32
		flags uint32
		nr    int32
		arch  uint32
		ip    uint64
		args  [6]uint64
	}
	notificationReply struct {
		id    uint64
		val   int64
		err   int32
		flags uint32
	}
)

// serve answers the calls of one process until it has ended.
func (i *Interceptor) serve(listener int) {
	var waiting sync.WaitGroup
	defer func() {
		waiting.Wait()
		_ = unix.Close(listener)
	}()
	for {
		poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			if poll[0].Revents != 0 {
				return // no thread is left under the filter
			}
			continue
		}
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // the calling thread was killed in between
		}
		path, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, n.args[0])) // "" if the thread was killed
		errno, wait := i.decide(path)
		reply := notificationReply{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if errno != 0 {
			reply = notificationReply{id: n.id, err: -int32(errno)}
		}
		if wait == nil {
			answerNotification(listener, &reply)
			continue
		}
		waiting.Go(func() {
			wait()
			answerNotification(listener, &reply)
		})
	}
}

// answerNotification answers a call. It fails only if the calling thread was killed
// meanwhile.
func answerNotification(listener int, r *notificationReply) {
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(r)))
}

// Available returns nil if syncs can be intercepted on this machine. It tries with a
// program that syncs nothing.
func Available() error {
	i := &Interceptor{}
	cmd, attach, err := i.Command("true")
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	return errors.Join(attach(), cmd.Wait())
}
