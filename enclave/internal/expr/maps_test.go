package expr

import "testing"

// TestLoopsGoThroughMapsInOneOrder, whatever order Go's maps take. With sixteen keys a random order is the right one once
// in 10^13 times.
func TestLoopsGoThroughMapsInOneOrder(t *testing.T) {
	const letters = "{'p':1,'c':2,'b':3,'n':4,'a':5,'o':6,'d':7,'m':8,'e':9,'l':10,'f':11,'k':12,'g':13,'j':14,'h':15,'i':16}"
	e := newTest(t, Config{})
	for source, want := range map[string]string{
		letters + ".map(k, k)":                            `["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p"]`,
		letters + ".filter(k, k > 'm')":                   `["n","o","p"]`,
		letters + ".exists_one(k, k == 'c')":              `true`,
		"{2: 'b', 10: 'a', true: 'c', 'x': 'd'}.map(k,k)": `[10,2,true,"x"]`,
		"{1: 'a', '1': 'b', 3: 'c'}.map(k, k)":            `[1,"1",3]`,
		"{}.map(k, k)":                                    `[]`,
	} {
		for range 8 {
			if got := eval1(t, e, nil, source); got != want {
				t.Fatalf("%s is %s, want %s", source, got, want)
			}
		}
	}
}
