package e2e

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// sources copies what is needed to build into a directory of its own.
func sources(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(path, "../")
		switch {
		case d.IsDir() && (d.Name() == ".git" || rel == "bin" || rel == "dist" || rel == "data" || rel == "e2e" || rel == "console/third_party" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || !d.Type().IsRegular() || strings.HasSuffix(path, "_test.go") || d.Name() == ".git":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, rel)
		return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, text, 0o644))
	}))
	return dir
}

// run runs a command in a directory.
func runIn(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, out)
	return string(out)
}

// A release has the same bytes wherever it is built, and its formula names them.
func TestReleasesAreReproducible(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"make", "sha256sum"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here", tool)
		}
	}
	var sums [2]string
	platform := runtime.GOOS + "/" + runtime.GOARCH
	for i := range sums {
		dir := sources(t)
		runIn(t, dir, "make", "release", "VERSION=v1.2.3", "PLATFORMS="+platform, "RELEASE_URL=https://releases.example/v1.2.3")
		text, err := os.ReadFile(filepath.Join(dir, "dist", "SHA256SUMS"))
		require.NoError(t, err)
		sums[i] = string(text)
		formula, err := os.ReadFile(filepath.Join(dir, "dist", "ottla.rb"))
		require.NoError(t, err)
		assert.Contains(t, string(formula), strings.Fields(sums[i])[0])
		assert.Contains(t, string(formula), "https://releases.example/v1.2.3/ottla-v1.2.3-darwin-arm64")
		assert.NotContains(t, string(formula), "RELEASE_")
		if ruby, err := exec.LookPath("ruby"); err == nil {
			runIn(t, dir, ruby, "-c", "dist/ottla.rb")
		}
		assert.Equal(t, "ottla v1.2.3\n", runIn(t, dir, "dist/ottla-v1.2.3-"+runtime.GOOS+"-"+runtime.GOARCH, "version"))
	}
	assert.Equal(t, sums[0], sums[1])
	assert.Regexp(t, `^[0-9a-f]{64}  ottla-v1\.2\.3-\w+-\w+\n$`, sums[0])
}

// compose is what the files for Compose have of services.
type compose struct {
	Services map[string]struct {
		Build       struct{ Context, Dockerfile string }
		Command     []string
		Ports       []string
		Volumes     []string
		StopGrace   string `yaml:"stop_grace_period"`
		Healthcheck struct{ Test []string }
	}
	Volumes map[string]any
}

func readCompose(t *testing.T, name string) (c compose) {
	t.Helper()
	text, err := os.ReadFile("../packaging/" + name)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &c))
	for name, s := range c.Services {
		assert.FileExists(t, filepath.Join("../packaging", s.Build.Context, s.Build.Dockerfile))
		assert.Equal(t, "45s", s.StopGrace)
		assert.Equal(t, []string{"CMD", "/ottla", "health"}, s.Healthcheck.Test)
		require.Len(t, s.Ports, 1)
		assert.True(t, strings.HasPrefix(s.Ports[0], "127.0.0.1:"), "%s is published for everybody", name)
		volume, _, _ := strings.Cut(s.Volumes[0], ":")
		assert.Contains(t, c.Volumes, volume)
	}
	return c
}

// The commands of the Compose files run: one process, and three nodes that become a
// fleet. Names and addresses of containers are replaced by some of this machine.
func TestComposeFiles(t *testing.T) {
	t.Parallel()
	one := readCompose(t, "compose.yaml")
	require.Len(t, one.Services, 1)
	assert.Empty(t, one.Services["ottla"].Command, "that of the image")

	c := readCompose(t, "compose-fleet.yaml")
	require.Len(t, c.Services, 3)
	replace := []string{"/data", "DATA"}
	links := map[string]string{}
	for name := range c.Services {
		links[name] = freeAddress(t)
		replace = append(replace, name+":7070", links[name])
	}
	f := &nodeSet{t: t}
	for name, svc := range c.Services {
		require.Equal(t, "serve", svc.Command[0])
		s := prepare(t)
		args := append([]string{}, svc.Command[1:]...)
		for i, arg := range args {
			args[i] = strings.NewReplacer(append(replace, "0.0.0.0:8080", "127.0.0.1:0", "0.0.0.0:7070", links[name], "DATA", s.dir)...).Replace(arg)
			args[i] = strings.ReplaceAll(args[i], "DATA", s.dir)
		}
		s.args = args
		f.nodes = append(f.nodes, s)
	}
	for _, s := range f.nodes {
		s.launch()
	}
	f.waitReady()
	var list struct{ Nodes []struct{ State string } }
	f.nodes[0].get("/nodes").want(200).decode(&list)
	require.Len(t, list.Nodes, 3)
	for _, n := range list.Nodes {
		assert.Equal(t, "active", n.State)
	}
}

// A program of another module builds with the client as the page on installing says,
// and works.
func TestClientInAnotherModule(t *testing.T) {
	t.Parallel()
	s := start(t)
	page, err := os.ReadFile("../docs/install.md")
	require.NoError(t, err)
	commands := regexp.MustCompile(`(?m)^go .*$`).FindAllString(string(page), -1)
	require.Len(t, commands, 2)
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(strings.TrimSpace(blocks(t, "../docs/api-by-example.md", "go")[0])), 0o600))
	runIn(t, dir, "go", "mod", "init", "app.example/app")
	for _, command := range commands {
		words := strings.Fields(strings.ReplaceAll(command, "=../ottla", "="+root))
		runIn(t, dir, words[0], words[1:]...)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(`package main

import (
	"context"
	"fmt"
	"os"

	"ottla/client"
)

func main() {
	c, err := client.New(os.Args[1])
	if err == nil {
		var p *client.Producer
		if p, err = c.NewProducer("greetings", client.ProducerConfig{}); err == nil {
			_, err = p.SendSync(context.Background(), client.Record{Value: client.StringData("hello")})
		}
	}
	fmt.Println(err)
}
`), 0o600))
	runIn(t, dir, "go", "build", "-o", "app", ".")
	assert.Equal(t, "<nil>\n", runIn(t, dir, "./app", s.base))
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(mod), "// indirect"), "%s", mod)
	assert.Contains(t, s.must("", "consume", "greetings", "--values"), "hello")
}

// builtTool is a tool that make has built; the test is skipped without it.
func builtTool(t *testing.T, name string) string {
	t.Helper()
	found, err := filepath.Glob("../bin/" + name + "-v*")
	require.NoError(t, err)
	if len(found) == 0 {
		t.Skipf("make has not built %s yet", name)
	}
	path, err := filepath.Abs(found[0])
	require.NoError(t, err)
	return path
}

// The Debian package installs a binary that runs, and its configuration is valid.
func TestDebianPackage(t *testing.T) {
	t.Parallel()
	nfpm := builtTool(t, "nfpm")
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("no dpkg-deb here")
	}
	dir, root := sources(t), t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "bin"), 0o755))
	require.NoError(t, os.Symlink(nfpm, filepath.Join(dir, "bin", filepath.Base(nfpm))))
	runIn(t, dir, "make", "packages", "VERSION=v1.2.3", "NFPM="+nfpm)
	found, err := filepath.Glob(filepath.Join(dir, "dist", "*"))
	require.NoError(t, err)
	deb := filepath.Join(dir, "dist", "ottla_1.2.3_"+runtime.GOARCH+".deb")
	require.Contains(t, found, deb)
	runIn(t, dir, "dpkg-deb", "-x", deb, root)
	assert.Equal(t, "ottla v1.2.3\n", runIn(t, root, "usr/bin/ottla", "version"))
	assert.Contains(t, runIn(t, root, "usr/bin/ottla", "serve", "--config", "etc/ottla/config.yaml", "--check"), "listen:")
	unit, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system/ottla.service"))
	require.NoError(t, err)
	assert.Contains(t, string(unit), "ExecStart=/usr/bin/ottla serve --config /etc/ottla/config.yaml")
	runIn(t, dir, "sh", "-n", "packaging/deb/postinstall.sh")
	runIn(t, dir, "sh", "-n", "packaging/deb/preremove.sh")
}

// The chart is rendered as Kubernetes wants it, and what its containers run is valid:
// settings and flags of one process and of a fleet.
func TestChart(t *testing.T) {
	t.Parallel()
	helm := builtTool(t, "helm")
	runIn(t, "..", helm, "lint", "--strict", "packaging/helm/ottla")
	out, err := exec.Command(helm, "template", "x", "../packaging/helm/ottla", "--kube-version", "1.30.0", "--set", "replicas=3").CombinedOutput()
	require.Error(t, err, "a fleet without certificates")
	assert.Contains(t, string(out), "linkSecret")
	for name, set := range map[string]string{"one": "replicas=1", "fleet": "replicas=3,linkSecret=l,config.limits.tokens=5"} {
		text := runIn(t, "..", helm, "template", "x", "packaging/helm/ottla", "--kube-version", "1.30.0", "--set", set)
		args, settings := chartCommand(t, text)
		dir := t.TempDir()
		file := filepath.Join(dir, "config.yaml")
		require.NoError(t, os.WriteFile(file, []byte(settings), 0o600))
		for i := range args {
			args[i] = strings.NewReplacer("/etc/ottla/config.yaml", file, "$(POD_NAME)", "x-ottla-0").Replace(args[i])
		}
		checked := runIn(t, dir, binary, append(args, "--check")...)
		assert.Contains(t, checked, "mode: token", name)
		if name == "fleet" {
			assert.Contains(t, checked, "tokens: 5")
			assert.Contains(t, strings.Join(args, " "), "--seeds=x-ottla-0.x-ottla-nodes:7070,x-ottla-1.x-ottla-nodes:7070,x-ottla-2.x-ottla-nodes:7070")
		}
	}
}

// chartCommand finds the arguments and the settings of the server in what a chart is
// rendered to.
func chartCommand(t *testing.T, text string) (args []string, settings string) {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	for {
		var doc struct {
			Kind string
			Data map[string]string
			Spec struct {
				Template struct {
					Spec struct{ Containers []struct{ Args []string } }
				}
			}
		}
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			require.NotEmpty(t, args)
			require.NotEmpty(t, settings)
			return args, settings
		}
		require.NoError(t, err)
		switch doc.Kind {
		case "ConfigMap":
			settings = doc.Data["config.yaml"]
		case "StatefulSet":
			args = doc.Spec.Template.Spec.Containers[0].Args
		}
	}
}

// The image that make builds runs and is healthy, where there is buildah.
func TestImageOfBuildah(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("buildah"); err != nil || os.Getuid() != 0 {
		t.Skip("no buildah here, or not root")
	}
	dir, storage := sources(t), t.TempDir()
	engine := "buildah --storage-driver vfs --root " + storage + "/root --runroot " + storage + "/run"
	buildah := func(args ...string) *exec.Cmd {
		all := append(strings.Fields(engine)[1:], args...)
		return exec.Command("buildah", all...)
	}
	runIn(t, dir, "make", "image", "VERSION=v1.2.3", "ENGINE="+engine, "IMAGE=ottla-of-a-test")
	name, err := buildah("from", "ottla-of-a-test").Output()
	require.NoError(t, err)
	container := strings.TrimSpace(string(name))
	address := freeAddress(t)
	server := buildah("run", "--isolation", "chroot", container, "--", "/ottla", "serve", "--listen", address, "--data-dir", "/data")
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
	})
	deadline := time.After(waitTimeout)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := buildah("run", "--isolation", "chroot", container, "--", "/ottla", "health", "--server", "http://"+address, "--ready").CombinedOutput()
		if err == nil {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			require.NoError(t, err, "%s", out)
		}
	}
	resp, err := http.Get("http://" + address + "/healthz")
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, errors.Join(err, resp.Body.Close()))
	assert.Contains(t, string(text), `"version":"v1.2.3"`)
}
