package kerberos_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// A refusing collection, and its only cache, say err, or nothing until the context
// ends.
type refusing struct {
	name    ccache.Name
	err     error // nil: nothing
	primary bool  // the collection knows its primary cache
}

func (r refusing) wait(ctx context.Context) error {
	if r.err == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	return r.err
}

func (r refusing) Primary(ctx context.Context) (ccache.Store, error) {
	if r.primary {
		return r, nil
	}
	return nil, r.wait(ctx)
}

func (r refusing) Stores(ctx context.Context) ([]ccache.Store, error)       { return []ccache.Store{r}, nil }
func (r refusing) Name() ccache.Name                                        { return r.name }
func (r refusing) State(ctx context.Context) (string, error)                { return "", r.wait(ctx) }
func (r refusing) Load(ctx context.Context) (*ccache.Cache, error)          { return nil, r.wait(ctx) }
func (r refusing) Add(ctx context.Context, _ ...ccache.Credential) error    { return r.wait(ctx) }
func (r refusing) Replace(ctx context.Context, _ *ccache.Cache) (err error) { return r.wait(ctx) }

func refusedBy(t *testing.T, realm *fakekdc.Realm, r refusing, patience time.Duration) error {
	t.Helper()
	source, err := kerberos.FromCCache("FILE:/nonexistent", environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	source.SetCollection(r.name, r)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = source.ServiceTicket(ctx, spn)
	if !errors.Is(err, middleware.ErrCredentials) || errors.Is(err, middleware.ErrKDC) {
		t.Errorf("%v", err)
	}
	for _, wrong := range stagetest.Prose(err.Error()) {
		t.Errorf("%s: %v", wrong, err)
	}
	return err
}

// Where the kernel refuses keyrings, as in containers, no kinit will help, and no
// other user is to blame.
func TestKeyringsInContainers(t *testing.T) {
	realm := start(t)
	ring := ccache.Name{Type: "KEYRING", Residual: "persistent:0"}
	for _, errno := range []syscall.Errno{syscall.EPERM, syscall.ENOSYS, syscall.EACCES} {
		for _, primary := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, %v", errno, primary), func(t *testing.T) {
				cause := fmt.Errorf("credential cache %s: %w: as it does in many containers", ring, errno)
				err := refusedBy(t, realm, refusing{ring, cause, primary}, time.Minute)
				advice := strings.Contains(err.Error(), "kinit")
				if !strings.Contains(err.Error(), "containers") || advice != (errno == syscall.EACCES) {
					t.Errorf("%v", err)
				}
			})
		}
	}
}
