package e2e

import (
	"bufio"
	"debug/elf"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lastStage is the image that the Dockerfile describes.
type lastStage struct {
	build      string // the command of the stage before
	from       string
	copies     []string
	uid        int
	entrypoint []string
	cmd        []string
}

func readDockerfile(t *testing.T) (st lastStage) {
	t.Helper()
	text, err := os.ReadFile("../packaging/Dockerfile")
	require.NoError(t, err)
	joined := strings.ReplaceAll(string(text), "\\\n", " ")
	for line := range strings.Lines(joined) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "FROM":
			st.from, st.copies = rest, nil
		case "RUN":
			st.build = rest
		case "COPY":
			st.copies = append(st.copies, rest)
		case "USER":
			user, group, _ := strings.Cut(rest, ":")
			require.Equal(t, user, group)
			st.uid, err = strconv.Atoi(user)
			require.NoError(t, err, "a scratch image has no names of users")
		case "ENTRYPOINT":
			require.NoError(t, json.Unmarshal([]byte(rest), &st.entrypoint))
		case "CMD":
			require.NoError(t, json.Unmarshal([]byte(rest), &st.cmd))
		}
	}
	return st
}

// assemble runs the build's command and copies what the image would hold.
func (st *lastStage) assemble(t *testing.T) (root string) {
	t.Helper()
	out, root := t.TempDir(), t.TempDir()
	command := strings.ReplaceAll(st.build, "/out/", out+"/")
	build := exec.Command("sh", "-ec", command)
	build.Dir, build.Env = "..", append(os.Environ(), "VERSION=v1.2.3-image")
	text, err := build.CombinedOutput()
	require.NoError(t, err, string(text))
	for _, c := range st.copies {
		m := regexp.MustCompile(`^--from=build (?:--chown=(\d+):\d+ )?/out/(\S+) (/\S+)$`).FindStringSubmatch(c)
		require.NotNil(t, m, c)
		target := filepath.Join(root, m[3])
		require.NoError(t, os.Rename(filepath.Join(out, m[2]), target))
		if m[1] != "" {
			uid, err := strconv.Atoi(m[1])
			require.NoError(t, err)
			require.NoError(t, os.Chown(target, uid, uid))
		}
	}
	return root
}

// What the Dockerfile would put into an image runs there: a static binary,
// alone in an empty root, as a user that is not root.
func TestTheImageRunsWithNothingElseInIt(t *testing.T) {
	t.Parallel()
	st := readDockerfile(t)
	assert.Equal(t, "scratch", st.from)
	assert.NotZero(t, st.uid)
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("changing the root directory needs root on linux")
	}
	root := st.assemble(t)
	require.NoError(t, os.Chmod(root, 0o755))
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	assert.Len(t, entries, 2, "the binary and the data directory")
	bin := filepath.Join(root, st.entrypoint[0])
	file, err := elf.Open(bin)
	require.NoError(t, err)
	defer file.Close()
	assert.Nil(t, file.Section(".interp"), "it is static")

	args := append(append([]string{}, st.entrypoint[1:]...), st.cmd...)
	for i, a := range args {
		args[i] = strings.Replace(a, "0.0.0.0:8080", "127.0.0.1:0", 1)
	}
	cmd := exec.Command(st.entrypoint[0], args...)
	cmd.Path, cmd.Dir, cmd.Env = st.entrypoint[0], "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: root, Credential: &syscall.Credential{Uid: uint32(st.uid), Gid: uint32(st.uid), NoSetGroups: false},
	}
	stderr := &safeBuffer{}
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill() }()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err, stderr.tail(2000))
	assert.Contains(t, line, "v1.2.3-image")
	s := &server{t: t, root: t, base: regexp.MustCompile(`http://[^,\s]+`).FindString(line), stderr: stderr}
	s.waitReady()
	s.post("/events", `{"topic":"t","value":1}`).want(http.StatusOK)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), stderr.tail(2000))
	owner, err := os.Stat(filepath.Join(root, "data", "cluster.json"))
	require.NoError(t, err)
	assert.Equal(t, uint32(st.uid), owner.Sys().(*syscall.Stat_t).Uid)
}
