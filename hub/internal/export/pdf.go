package export

import (
	"io"
	"time"

	"codeberg.org/go-pdf/fpdf"

	"github.com/kubilitics/kubilitics/shared/fault"
)

const (
	pointsPerUnit = 72.0 / 96
	maxPage       = 14_400 // points: what readers of PDF agree on
)

// writePDF writes the scene as one page of its own size, made smaller only where readers know no page so large.
func writePDF(w io.Writer, s *scene) error {
	scale := min(pointsPerUnit, maxPage/max(s.width, s.height))
	p := &pdfPage{scale: scale, pdf: fpdf.NewCustom(&fpdf.InitType{UnitStr: "pt", Size: fpdf.SizeType{Wd: s.width * scale, Ht: s.height * scale}})}
	p.pdf.SetMargins(0, 0, 0)
	p.pdf.SetAutoPageBreak(false, 0)
	p.pdf.SetTitle(plain(s.title), true)
	p.pdf.SetCreator("Kubilitics", true)
	p.pdf.SetCreationDate(time.Unix(0, 0).UTC()) // the same scene gives the same file
	p.pdf.SetModificationDate(time.Unix(0, 0).UTC())
	p.pdf.SetCatalogSort(true)
	p.pdf.AddUTF8FontFromBytes("Go", "", regular.data)
	p.pdf.AddUTF8FontFromBytes("Go", "B", bold.data)
	p.pdf.AddPage()
	p.pdf.SetLineJoinStyle("round")
	for _, item := range s.items {
		switch x := item.(type) {
		case *figure:
			p.figure(x)
		case *label:
			p.label(x)
		}
	}
	if err := p.pdf.Output(w); err != nil {
		return fault.Wrap(err, fault.Internal, "the PDF can't be written")
	}
	return nil
}

type pdfPage struct {
	pdf   *fpdf.Fpdf
	scale float64
}

func (p *pdfPage) figure(f *figure) {
	style := ""
	if f.fill != nil {
		p.pdf.SetFillColor(int(f.fill[0]), int(f.fill[1]), int(f.fill[2]))
		style = "F"
	}
	if f.stroke != nil {
		p.pdf.SetDrawColor(int(f.stroke[0]), int(f.stroke[1]), int(f.stroke[2]))
		p.pdf.SetLineWidth(f.width * p.scale)
		dash := make([]float64, len(f.dash))
		for i, l := range f.dash {
			dash[i] = l * p.scale
		}
		p.pdf.SetDashPattern(dash, 0)
		style += "D"
	}
	for i := range f.path {
		p.piece(&f.path[i])
	}
	p.pdf.DrawPath(style)
}

func (p *pdfPage) piece(x *piece) {
	k := p.scale
	a := x.points
	switch x.verb {
	case 'M':
		p.pdf.MoveTo(a[0].x*k, a[0].y*k)
	case 'L':
		p.pdf.LineTo(a[0].x*k, a[0].y*k)
	case 'C':
		p.pdf.CurveBezierCubicTo(a[0].x*k, a[0].y*k, a[1].x*k, a[1].y*k, a[2].x*k, a[2].y*k)
	case 'Z':
		p.pdf.ClosePath()
	}
}

func (p *pdfPage) label(l *label) {
	style := ""
	if l.bold {
		style = "B"
	}
	p.pdf.SetFont("Go", style, l.size*p.scale)
	p.pdf.SetTextColor(int(l.colour[0]), int(l.colour[1]), int(l.colour[2]))
	p.pdf.Text(l.x*p.scale, l.y*p.scale, face(l.bold).known(l.text))
}
