package datadir

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FuzzManifest: whatever a broker's or the root's cluster.json holds, loading
// says what is wrong, changes nothing that it does not understand, and touches
// nothing outside of the data directory.
func FuzzManifest(f *testing.F) {
	c := ClusterManifest{
		ID: "c-1", Name: "default", LogDirectory: "default", NumBrokers: 1, Fsync: "always",
		CreatedAt: time.Unix(1790000000, 0).UTC(), Voters: []MetadataVoter{{1, 1}}, Phase: Created,
	}
	deleting := c
	deleting.Phase = Deleting
	outside := c
	outside.LogDirectory = "../x"
	for _, m := range []ClusterManifest{c, deleting, outside} {
		root, err := encodeSealed(&rootManifest{Clusters: []ClusterManifest{m}})
		require.NoError(f, err)
		broker, err := encodeSealed(&BrokerManifest{Broker: 1, ClusterManifest: m})
		require.NoError(f, err)
		f.Add(root, broker)
		f.Add([]byte(nil), broker)
		f.Add(root, []byte(nil))
	}
	f.Add([]byte(`{"format_version":9}`), []byte(`{"format_version":1,"checksum":"","clusters":[{}]}`))
	ledger, err := encodeSealed(&ledgerFile{ClusterID: "c-1", Broker: 1})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, root, broker []byte) {
		root, broker = resealed(root, &rootManifest{}), resealed(broker, &BrokerManifest{})
		outer := t.TempDir()
		dataDir := filepath.Join(outer, "data")
		place := filepath.Join(dataDir, "default", BrokerDirName(1))
		require.NoError(t, os.MkdirAll(place, 0o755))
		sentinel := filepath.Join(outer, "x", BrokerDirName(1))
		require.NoError(t, os.MkdirAll(sentinel, 0o755))
		writeUnlessEmpty(t, filepath.Join(dataDir, ManifestName), root)
		writeUnlessEmpty(t, filepath.Join(place, ManifestName), broker)
		writeUnlessEmpty(t, filepath.Join(place, ledgerName), ledger)
		_, places, err := Load(dataDir, foundersLeft)
		require.DirExists(t, sentinel)
		entries, readErr := os.ReadDir(outer)
		require.NoError(t, readErr)
		require.Len(t, entries, 2, "nothing appears outside")
		var damaged *DamagedFileError
		var newer *NewerFormatError
		if errors.As(err, &damaged) || errors.As(err, &newer) {
			requireContent(t, filepath.Join(dataDir, ManifestName), root)
			requireContent(t, filepath.Join(place, ManifestName), broker)
			return
		}
		if err != nil {
			return
		}
		_, again, err := Load(dataDir, foundersLeft)
		require.NoError(t, err)
		require.Len(t, again, len(places))
		for i := range places {
			places[i].Recovered, again[i].Recovered = false, false
			require.Equal(t, places[i].Manifest, again[i].Manifest)
		}
	})
}

// resealed is the file with the right checksum for its content, so that the content
// itself is read.
func resealed(data []byte, v sealable) []byte {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if dec.Decode(v) != nil {
		return data
	}
	version := v.sealed().FormatVersion
	sealed, err := encodeSealed(v)
	if err != nil || version != v.version() {
		return data
	}
	return sealed
}

func writeUnlessEmpty(t *testing.T, path string, data []byte) {
	t.Helper()
	if len(data) > 0 {
		require.NoError(t, os.WriteFile(path, data, 0o600))
	}
}

func requireContent(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if len(want) == 0 {
		require.ErrorIs(t, err, os.ErrNotExist)
		return
	}
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}
