package kms

import (
	"crypto/sha256"
	"sync"
	"time"

	"redoubt/wire/kit/attest"
)

// maxVerified bounds the documents that are remembered: each parent's enclaves use one for minutes.
const maxVerified = 64

// verifiedDocs remembers documents that verified, by the hash of all their bytes. Whether a document verifies is a
// function of its bytes, the configuration and the time, so only the time is checked again. An enclave uses a
// document for many calls, and a verification costs some 2 ms. The zero value is empty.
type verifiedDocs struct {
	mu sync.Mutex
	m  map[[sha256.Size]byte]*attest.Document
}

// get returns a remembered document if its time is still good.
func (v *verifiedDocs) get(document []byte, now time.Time) (*attest.Document, bool) {
	sum := sha256.Sum256(document)
	v.mu.Lock()
	defer v.mu.Unlock()
	doc, ok := v.m[sum]
	if ok && !timely(doc, now) {
		delete(v.m, sum)
		ok = false
	}
	return doc, ok
}

// put remembers a document that verified just now.
func (v *verifiedDocs) put(document []byte, doc *attest.Document) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.m == nil || len(v.m) >= maxVerified {
		v.m = make(map[[sha256.Size]byte]*attest.Document)
	}
	v.m[sha256.Sum256(document)] = doc
}

func timely(doc *attest.Document, now time.Time) bool {
	age := now.Sub(doc.Time)
	return age <= attest.DefaultMaxAge && age >= -attest.DefaultSkew
}
