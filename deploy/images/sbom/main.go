// Command sbom prints a software bill of materials (CycloneDX 1.5, JSON) of Go binaries for a release, from what the
// linker recorded in them. So it lists what is inside, not what a manifest asks for, and identifies the binaries by
// SHA-256. The same binaries give the same bytes.
//
//	sbom BINARY... > redoubt.cdx.json
package main

import (
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"redoubt/wire/kit/sealed"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: sbom BINARY...")
		os.Exit(2)
	}
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, files []string) error {
	found := map[string]cdx.Component{}
	tops := make([]cdx.Component, 0, len(files))
	var deps []cdx.Dependency
	for _, file := range files {
		info, err := buildinfo.ReadFile(file)
		if err != nil {
			return fmt.Errorf("%s is not a Go binary: %w", file, err)
		}
		name := filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file)
		sum, err := digest(file)
		if err != nil {
			return err
		}
		tops = append(tops, cdx.Component{Type: cdx.ComponentTypeApplication, BOMRef: name, Name: name, Hashes: &sum})
		refs := []string{}
		std := component(&debug.Module{Path: "std", Version: info.GoVersion})
		for _, c := range append(append(modules(info), std), machineCode(info)...) {
			found[c.BOMRef] = c
			refs = append(refs, c.BOMRef)
		}
		slices.Sort(refs)
		deps = append(deps, cdx.Dependency{Ref: name, Dependencies: &refs})
	}
	components := tops
	for _, c := range found {
		components = append(components, c)
	}
	slices.SortFunc(components, func(a, b cdx.Component) int { return cmp.Compare(a.BOMRef, b.BOMRef) })
	bom := cdx.NewBOM()
	bom.Components, bom.Dependencies = &components, &deps
	bom.Metadata = &cdx.Metadata{Component: &cdx.Component{Type: cdx.ComponentTypeApplication, Name: "redoubt"}}
	enc := cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true)
	return enc.EncodeVersion(bom, cdx.SpecVersion1_5)
}

// digest binds the bill to its binary.
func digest(file string) ([]cdx.Hash, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return []cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(h.Sum(nil))}}, nil
}

func modules(info *buildinfo.BuildInfo) []cdx.Component {
	out := make([]cdx.Component, 0, len(info.Deps))
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		out = append(out, component(m))
	}
	return out
}

// machineCode lists what the enclave links that is no Go module: the build tag of package s2nbignum says that it is
// there.
func machineCode(info *buildinfo.BuildInfo) []cdx.Component {
	for _, s := range info.Settings {
		if s.Key != "-tags" || !slices.Contains(strings.Split(s.Value, ","), sealed.MachineCodeTag) {
			continue
		}
		purl := "pkg:cargo/" + sealed.MachineCodeCrate + "@" + sealed.MachineCodeVersion + "#s2n-bignum"
		return []cdx.Component{{
			Type: cdx.ComponentTypeLibrary, BOMRef: purl, Name: "s2n-bignum",
			Version: sealed.MachineCodeVersion, PackageURL: purl,
			Licenses:  &cdx.Licenses{{Expression: "Apache-2.0 OR ISC OR MIT-0"}},
			Copyright: "Amazon.com, Inc. or its affiliates",
		}}
	}
	return nil
}

// component is a module with its package URL (purl specification, type golang).
func component(m *debug.Module) cdx.Component {
	purl := "pkg:golang/" + m.Path + "@" + m.Version
	return cdx.Component{
		Type: cdx.ComponentTypeLibrary, BOMRef: purl, Name: m.Path, Version: m.Version, PackageURL: purl,
	}
}
