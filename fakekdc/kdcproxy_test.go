package fakekdc

import (
	"strings"
	"testing"
)

func TestConfigWithKDCProxy(t *testing.T) {
	a, _, _ := threeRealms(t)
	text := a.ConfigWithKDCProxy("https://localhost:8443/KdcProxy", "FILE:/x/ca.pem", "canonicalize = true")
	_, realms, _ := strings.Cut(text, "[realms]\n")
	realms, _, _ = strings.Cut(realms, "\n\n")
	want := ""
	for _, name := range []string{"A", "B", "C"} {
		want += "\t" + name + ".EXAMPLE = {\n\t\tkdc = https://localhost:8443/KdcProxy\n\t\thttp_anchors = FILE:/x/ca.pem\n\t}\n"
	}
	if realms+"\n" != want || !strings.Contains(text, "\tcanonicalize = true\n") {
		t.Errorf("got %s", text)
	}
	if strings.Contains(a.ConfigWithKDCProxy("https://x", ""), "http_anchors") {
		t.Error("anchors of none")
	}
}
