package krb

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestCheckIterations(t *testing.T) {
	for name, tc := range map[string]struct {
		etype  int32
		params []byte
		want   error // nil: accepted
	}{
		"default, 17":               {17, nil, nil},
		"default, 20":               {20, []byte{}, nil},
		"as MIT's default, 18":      {18, params(4096), nil},
		"one below, 17":             {17, params(4095), ErrIterations},
		"one below, 18":             {18, params(4095), ErrIterations},
		"SHA-1's default, 19":       {19, params(4096), ErrIterations},
		"one below, 20":             {20, params(32767), ErrIterations},
		"as RFC 8009's default, 20": {20, params(32768), nil},
		"one":                       {18, params(1), ErrIterations},
		"none, which means 2^32":    {18, params(0), ErrIterations},
		"the most":                  {20, params(MaxIterations), nil},
		"more":                      {20, params(MaxIterations + 1), ErrIterations},
		"RC4 has none":              {23, params(1), nil},
		"unknown etype":             {99, params(1 << 16), ErrEtype},
	} {
		t.Run(name, func(t *testing.T) {
			if err := CheckIterations(tc.etype, tc.params); !errors.Is(err, tc.want) || (tc.want == nil) != (err == nil) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	if CheckIterations(18, []byte{0, 0, 16}) == nil {
		t.Error("parameters of three bytes were accepted")
	}
}

func TestStringToKeyContext(t *testing.T) {
	want := must(StringToKey(AES256SHA1, "password", "salt", nil))
	for name, ctx := range map[string]context.Context{"that ends": t.Context(), "that does not": context.Background()} {
		if got, err := StringToKeyContext(ctx, AES256SHA1, "password", "salt", nil); err != nil || !got.Equal(want) {
			t.Errorf("context %s: %v, %v", name, got, err)
		}
	}
	if _, err := StringToKeyContext(t.Context(), 99, "password", "salt", nil); !errors.Is(err, ErrEtype) {
		t.Errorf("unknown etype: %v", err)
	}

	cause := errors.New("no longer wanted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if k, err := StringToKeyContext(ctx, AES256SHA1, "password", "salt", nil); !errors.Is(err, cause) || !k.IsZero() {
		t.Errorf("context that had ended: %v, %v", k, err)
	}

	// The most that a KDC can ask for is left at once, long before its end.
	ctx, cancel = context.WithCancelCause(t.Context())
	time.AfterFunc(time.Millisecond, func() { cancel(cause) })
	if k, err := StringToKeyContext(ctx, AES256SHA384, "password", "salt", params(MaxIterations)); !errors.Is(err, cause) || !k.IsZero() {
		t.Errorf("context that ended meanwhile: %v, %v", k, err)
	}
}
