//go:build !linux

package disk

// plainFileSystem has no syncfs that reports errors: files are synced one by one.
type plainFileSystem struct{}

func openFileSystem(string) (fileSystem, error) { return plainFileSystem{}, nil }

func (plainFileSystem) covers(File) bool { return false }
func (plainFileSystem) syncfs() error    { return nil }
func (plainFileSystem) close() error     { return nil }
