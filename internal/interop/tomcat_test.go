//go:build interop

package interop

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/client"
)

// tomcatJars are where Debian's libtomcat10-java puts them.
const tomcatJars = "/usr/share/java/tomcat10-*.jar"

// TestTomcat sends files to Tomcat, which says 401 as soon as it has read the
// header and then swallows the body, up to 2 MiB as it comes, or all of it. Their
// length is not told, so that nobody but the sums can say what has arrived.
func TestTomcat(t *testing.T) {
	r := startRealm(t, etypes[0])
	for _, swallow := range []string{"2097152", "-1"} {
		t.Run("swallowing "+swallow, func(t *testing.T) {
			url := startTomcat(t, r, swallow)
			c, err := client.NewRetryable(client.Options{
				Krb5Conf:  []string{r.conf},
				CCache:    r.kinit(t)["KRB5CCNAME"],
				Getenv:    func(string) string { return "" },
				Transport: new(http.Transport),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.HTTPClient.CloseIdleConnections)
			c.RetryMax, c.Logger = 0, nil // what fails is to be seen
			for name, size := range map[string]int64{"a byte": 1, "300 kB": 300_000, "16 MiB": 16 << 20, "64 MiB": 64 << 20} {
				t.Run(name, func(t *testing.T) { testTomcat(t, c, url, size) })
			}
		})
	}
}

// A poster is a client of go-retryablehttp, which makes GetBody of body.
type poster interface {
	Post(url, kind string, body any) (*http.Response, error)
}

func testTomcat(t *testing.T, c poster, url string, size int64) {
	path := filepath.Join(t.TempDir(), "upload")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, h), random(size)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	want := fmt.Sprintf("%d %x", size, h.Sum(nil))
	const calls = 15
	wrong, failed := 0, 0
	for range calls {
		got, err := tomcatUpload(t, c, url, path)
		switch {
		case err != nil:
			failed++
			t.Log(err)
		case got != want:
			wrong++
		}
	}
	if wrong+failed > 0 {
		t.Errorf("of %d calls %d arrived wrong and were answered 200, %d failed", calls, wrong, failed)
	}
}

func tomcatUpload(t *testing.T, c poster, url, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	resp, err := c.Post(url, "application/octet-stream", f)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d, %q, %w", resp.StatusCode, b, err)
	}
	return string(b), err
}

// startTomcat starts testdata/TomcatPeer.java and returns its URL.
func startTomcat(t *testing.T, r *realm, swallow string) string {
	t.Helper()
	jars, err := filepath.Glob(tomcatJars)
	if err != nil || len(jars) == 0 {
		t.Fatalf("no %s, %v: install the Debian package libtomcat10-java (.ci/packages does)", tomcatJars, err)
	}
	dir := tempDir(t)
	class := strings.Join(append(jars, dir), ":")
	if out, err := exec.Command(jdk(t, "javac"), "-cp", class, "-d", dir, filepath.Join("testdata", "TomcatPeer.java")).CombinedOutput(); err != nil {
		t.Fatalf("javac: %v\n%s", err, out)
	}
	addrs := freePorts(t, 1)
	as := unprivileged(t)
	keytab := filepath.Join(dir, "service.keytab")
	write(t, keytab, readAll(t, r.path("service.keytab")))
	give(t, dir, as)
	serve(t, environment{"HOME": dir}, as, addrs, jdk(t, "java"),
		"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-cp", class,
		"-Djava.security.krb5.conf="+r.conf, "-Djava.io.tmpdir="+dir,
		"-Djava.util.logging.SimpleFormatter.format=%4$s %5$s %6$s%n",
		"TomcatPeer", port(addrs[0]), dir, keytab, swallow)
	return "http://localhost:" + port(addrs[0]) + "/"
}
