package main

import "testing"

func TestDepthCountsWhatARoutineAndItsDeepestCallTake(t *testing.T) {
	const amd64 = `
0000000000000000 <f>:
       0:	endbr64
       4:	push   %rbx
       5:	sub    $0x100,%rsp
       c:	call   1e <f+0x1e>
      11:	add    $0x100,%rsp
      18:	pop    %rbx
      19:	ret
      1e:	push   %r12
      20:	sub    $0x20,%rsp
      24:	add    $0x20,%rsp
      28:	pop    %r12
      2a:	ret
`
	const arm64 = `
   0:	stp	x19, x20, [sp, #-16]!
   4:	sub	sp, sp, #0x100
   8:	bl	18 <f+0x18>
   c:	add	sp, sp, #0x100
  10:	ldp	x19, x20, [sp], #16
  14:	ret
  18:	stp	x21, x30, [sp, #-16]!
  1c:	ldp	x21, x30, [sp], #16
  20:	ret
`
	for _, c := range []struct {
		arch, listing string
		want          int
	}{{"amd64", amd64, 8 + 8 + 0x100 + 8 + 8 + 0x20}, {"arm64", arm64, 16 + 0x100 + 16}} {
		if got, err := depth(c.arch, c.listing); err != nil || got != c.want {
			t.Errorf("%s: %d, %v; want %d", c.arch, got, err, c.want)
		}
	}
}

func TestDepthRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for _, listing := range []string{
		"   0:\tmov    %rbp,%rsp\n   1:\tret\n",
		"   0:\tlea    -0x100(%rsp),%rsp\n   1:\tret\n",
		"   0:\tpush   %rbx\n   1:\tret\n",
		"   0:\tcall   20 <g>\n   1:\tret\n",
		"   0:\tcall   0 <f>\n   1:\tret\n",
		"",
	} {
		if got, err := depth("amd64", listing); err == nil {
			t.Errorf("%q takes %d", listing, got)
		}
	}
}
