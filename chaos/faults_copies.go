package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// damageInAllCopies ends the process, flips a bit in the newest file of every copy
// of a partition, in another entry in each, and starts the process again: every
// copy is damaged, and each must be mended from the other two.
func (w fileFaults) damageInAllCopies() error {
	return w.restart(func() error {
		if err := w.end(); err != nil {
			return err
		}
		p := w.rnd.Intn(partitions)
		var files []string
		shared := map[uint64]int{} // by entry, how many copies have it undamaged
		entries := make([]map[uint64]int64, brokers)
		for b := range brokers {
			paths, err := filepath.Glob(filepath.Join(w.s.brokerDir(b+1), fmt.Sprintf("%s-%d", mainTopic, p), "*.log"))
			if err != nil || len(paths) == 0 {
				return err // the copy was lost with a directory
			}
			files = append(files, slices.Max(paths))
			text, err := os.ReadFile(files[b])
			if err != nil {
				return err
			}
			entries[b] = recordEntries(text)
			for index := range entries[b] {
				shared[index]++
			}
		}
		var all []uint64
		for index, copies := range shared {
			if copies == brokers {
				all = append(all, index)
			}
		}
		if len(all) < brokers {
			return nil
		}
		slices.Sort(all)
		w.rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for b, path := range files {
			if err := w.flipBit(path, entries[b][all[b]]); err != nil {
				return err
			}
		}
		return nil
	})
}

// newestKept is how many of a file's last entries are not damaged: there may be no
// line after them yet that says which ones they were.
const newestKept = 4

// recordEntries returns the entries with records in a log file: by raft index, the
// position of a byte in the first record.
func recordEntries(text []byte) map[uint64]int64 {
	found := map[uint64]int64{}
	var order []uint64
	index, pos := uint64(0), int64(0)
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		switch {
		case len(f) > 4 && string(f[0]) == "#f":
			index, _ = strconv.ParseUint(string(f[2]), 10, 64) // 0 for a header that an earlier round has damaged
		case len(f) >= 8 && line[0] != '#' && index > 0:
			if _, known := found[index]; !known {
				found[index] = pos + int64(len(line))/2
				order = append(order, index)
			}
		}
		pos += int64(len(line))
	}
	for _, newest := range order[max(0, len(order)-newestKept):] {
		delete(found, newest)
	}
	return found
}
