package kerberos_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
)

// A thousand goroutines of a program that has just started want tickets for fifty
// services: it logs in once, and asks once for each. The memory is that of the KDC, too.
func TestColdStart(t *testing.T) {
	const goroutines, services, most = 1000, 50, 64 << 20
	spns := make([]string, services)
	var o []fakekdc.Option
	for i := range spns {
		spns[i] = fmt.Sprintf("HTTP/host%d.example.test", i)
		o = append(o, fakekdc.WithService(spns[i]))
	}
	realm := start(t, o...)
	source, err := kerberos.FromPassword(kerberos.NewSecret(password), as(environment(realm), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var top uint64
		var now runtime.MemStats
		for {
			runtime.ReadMemStats(&now)
			top = max(top, now.HeapInuse+now.StackInuse)
			select {
			case <-stop:
				peak <- top
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range goroutines {
		wg.Go(func() {
			<-begin
			if _, err := source.ServiceTicket(t.Context(), spns[i%services]); err != nil {
				t.Error(err)
			}
		})
	}
	close(begin)
	wg.Wait()
	close(stop)
	grown := int64(<-peak) - int64(before.HeapInuse+before.StackInuse)
	if grown > most {
		t.Errorf("%d MB more at the peak, want %d at most", grown>>20, most>>20)
	}
	as, tgs := realm.Count(fakekdc.AS, 0), realm.Count(fakekdc.TGS)
	if as != 1 || tgs != services || realm.Count(fakekdc.TGS, 0) != services {
		t.Errorf("%d logins and %d requests for tickets, want 1 and %d", as, tgs, services)
	}
	t.Logf("%d kB more at the peak", grown>>10)
}
