package datadir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// nodeName is the file that says which node of which fleet a data directory is of.
const nodeName = "node.json"

// Founder is one of the nodes that have founded a fleet.
type Founder struct {
	Node uint64 `json:"node"`
	UUID string `json:"uuid"`
	Name string `json:"name"`
	Link string `json:"link"` // HOST:PORT where it was reached then
	HTTP string `json:"http"` // HOST:PORT where clients reached it
}

// Founding is what the founders of a fleet have agreed on, each in writing, before
// any of them had it.
type Founding struct {
	Fleet     string    `json:"fleet"`
	CreatedAt time.Time `json:"created_at"`
	Founders  []Founder `json:"founders"`
}

// Node is a data directory's place in a fleet. It is written once and never
// changed: addresses and names are data of the fleet, identity is here.
type Node struct {
	seal
	Fleet    string   `json:"fleet"`
	Node     uint64   `json:"node"`
	UUID     string   `json:"uuid"`
	Founding Founding `json:"founding"`
}

// ReadNode reads a data directory's place in its fleet. Errors: os.ErrNotExist where
// it belongs to none, *DamagedFileError, *NewerFormatError.
func ReadNode(dataDir string) (*Node, error) {
	n := &Node{}
	if err := readSealed(filepath.Join(dataDir, nodeName), n); err != nil {
		return nil, err
	}
	if n.Fleet == "" || n.Node == 0 || n.UUID == "" || n.Founding.Fleet != n.Fleet || len(n.Founding.Founders) == 0 {
		return nil, &DamagedFileError{Path: filepath.Join(dataDir, nodeName), Err: errors.New("it lacks a part")}
	}
	return n, nil
}

// WriteNode writes a data directory's place in a fleet, durably and once. Errors:
// os.ErrExist where there is one.
func WriteNode(dataDir string, n *Node) error {
	path := filepath.Join(dataDir, nodeName)
	if err := absent(path); err != nil {
		return fmt.Errorf("write node: %w", err)
	}
	if err := (durable{}).writeSealed(path, n); err != nil {
		return fmt.Errorf("write node: %w", err)
	}
	return nil
}

// membersName is the file with the nodes of the fleet as they were last known.
const membersName = "members.json"

type membersFile struct {
	seal
	Members []Founder `json:"members"`
}

// ReadMembers reads which nodes a fleet had when this one last knew. Those that have
// founded it may all be gone. Errors: os.ErrNotExist where it was never written,
// *DamagedFileError.
func ReadMembers(dataDir string) ([]Founder, error) {
	var m membersFile
	if err := readSealed(filepath.Join(dataDir, membersName), &m); err != nil {
		return nil, err
	}
	return m.Members, nil
}

// WriteMembers writes which nodes a fleet has.
func WriteMembers(dataDir string, members []Founder) error {
	if err := (durable{}).writeSealed(filepath.Join(dataDir, membersName), &membersFile{Members: members}); err != nil {
		return fmt.Errorf("write members: %w", err)
	}
	return nil
}

// BelongsToFleet reports whether a data directory is of a node of a fleet.
func BelongsToFleet(dataDir string) bool {
	_, err := os.Lstat(filepath.Join(dataDir, nodeName))
	return err == nil
}

// uuidName is the file with the uuid of a data directory that belongs to no fleet yet.
const uuidName = "node-uuid"

// nodeUUID is that file.
type nodeUUID struct {
	seal
	UUID string `json:"uuid"`
}

// NodeUUID returns the uuid of a data directory, which it gets durably with the first
// call: others may write it down as a founder's before this one knows of it, and would
// wait for it for ever if it had another one after a restart. Fresh makes one. Errors:
// the file is damaged, or cannot be written.
func NodeUUID(dataDir string, fresh func() string) (string, error) {
	path := filepath.Join(dataDir, uuidName)
	var u nodeUUID
	err := readSealed(path, &u)
	switch {
	case err == nil && u.UUID != "":
		return u.UUID, nil
	case err == nil:
		return "", &DamagedFileError{Path: path, Err: errors.New("it is empty")}
	case !errors.Is(err, os.ErrNotExist):
		return "", err
	}
	u.UUID = fresh()
	if err := (durable{}).writeSealed(path, &u); err != nil {
		return "", fmt.Errorf("write the node's uuid: %w", err)
	}
	return u.UUID, nil
}
