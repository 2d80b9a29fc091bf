package sealed

import (
	"os"
	"strings"
	"testing"
)

// The script that makes the code, and the bill of materials that names it, say the same.
func TestTheMachineCodeIsOfTheCrateThatTheBillOfMaterialsNames(t *testing.T) {
	script, err := os.ReadFile("internal/s2nbignum/make.sh")
	if err != nil {
		t.Fatal(err)
	}
	want := "\ncrate=" + MachineCodeCrate + " version=" + MachineCodeVersion + "\n"
	if !strings.Contains(string(script), want) {
		t.Errorf("make.sh lacks %q", want)
	}
}
