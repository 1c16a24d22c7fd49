package image

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"path"
	"runtime/debug"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	ggcr "github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const sbomType types.MediaType = "application/vnd.cyclonedx+json"

// licence of what is ours.
const licence = "Apache-2.0"

// sbom is a program's bill of materials, in CycloneDX: the modules that it says it was built of, with the sums that the builder checked. There is
// nothing else in its image.
func (r Release) sbom(program, binary string) ([]byte, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("what %s is built of: %w", binary, err)
	}
	bill := cdx.NewBOM()
	bill.Metadata = &cdx.Metadata{Component: &cdx.Component{
		Type: cdx.ComponentTypeContainer, BOMRef: "image", Name: program, Version: r.Version,
		Licenses: &cdx.Licenses{{License: &cdx.License{ID: licence}}},
	}}
	if !r.Time.IsZero() {
		bill.Metadata.Timestamp = r.Time.UTC().Format(time.RFC3339)
	}
	components := r.components(info)
	refs := make([]string, 0, len(components))
	for _, c := range components {
		refs = append(refs, c.BOMRef)
	}
	bill.Components, bill.Dependencies = &components, &[]cdx.Dependency{{Ref: "image", Dependencies: &refs}}
	var text bytes.Buffer
	err = cdx.NewBOMEncoder(&text, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bill)
	return text.Bytes(), err
}

// components are a program's modules: itself, those it needs, and Go's own library.
func (r Release) components(info *debug.BuildInfo) []cdx.Component {
	out := []cdx.Component{r.component(info.Main), r.component(debug.Module{Path: "std", Version: info.GoVersion})}
	for _, m := range info.Deps {
		if m.Replace != nil && m.Replace.Version != "" { // a replacement without a version is a folder: a module of ours
			m = m.Replace
		}
		out = append(out, r.component(*m))
	}
	return out
}

func (r Release) component(m debug.Module) cdx.Component {
	c := cdx.Component{Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version}
	if ours, _ := path.Match("github.com/kubilitics/kubilitics/*", m.Path); ours {
		c.Version, c.Licenses = r.Version, &cdx.Licenses{{License: &cdx.License{ID: licence}}}
	}
	c.PackageURL = "pkg:golang/" + c.Name + "@" + c.Version
	c.BOMRef = c.PackageURL
	if m.Sum != "" {
		c.Properties = &[]cdx.Property{{Name: "go:sum", Value: m.Sum}}
	}
	return c
}

// refer makes the manifest by which a registry tells, of an image, its bill of materials.
func refer(img v1.Image, sbom []byte) (v1.Image, error) {
	size, err := img.Size()
	if err != nil {
		return nil, err
	}
	hash, err := img.Digest()
	if err != nil {
		return nil, err
	}
	bare := mutate.MediaType(mutate.ConfigMediaType(empty.Image, sbomType), types.OCIManifestSchema1) // the config's type is the artifact's
	with, err := mutate.Append(bare, mutate.Addendum{Layer: ggcr.NewLayer(sbom, sbomType)})
	if err != nil {
		return nil, err
	}
	return mutate.Subject(with, v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: hash, Size: size}).(v1.Image), nil
}
