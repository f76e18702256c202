package model

import "testing"

// TestTimeWithoutUnit: the answer was "cannot construct !!int `5` into time.Duration".
func TestTimeWithoutUnit(t *testing.T) {
	_, err := ReadDefs([]byte("actions:\n- name: a\n  after: 5\n"))
	if want := `line 3: a value is of the wrong kind: "5" is no time; write a number with its unit, as in 5s or 5m`; err == nil || err.Error() != want {
		t.Errorf("ReadDefs says %v, want %s", err, want)
	}
}
