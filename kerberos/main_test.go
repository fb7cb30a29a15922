package kerberos_test

import (
	"testing"

	"github.com/kerbchain/kerbchain/internal/testmain"
)

func TestMain(m *testing.M) { testmain.RunTogether(m) }
