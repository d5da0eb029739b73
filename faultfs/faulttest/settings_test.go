package faulttest_test

import "testing"

func TestTheExampleHolds(t *testing.T) { settingsSurvive(t) }
