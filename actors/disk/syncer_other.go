//go:build !linux

package disk

func newBatchSyncer(string) batchSyncer { return nil }

func openFileSystem(string) (fileSystem, error) { return plainFileSystem{}, nil }
