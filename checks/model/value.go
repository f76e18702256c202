package model

import "math"

// PerfValue is one value of performance data, as programs are told it.
type PerfValue struct {
	Label string     `json:"label"`
	Value *float64   `json:"value,omitempty" doc:"missing: the plugin could not determine it"`
	Unit  string     `json:"unit,omitempty" doc:"as the plugin wrote it: s, ms, us, %, B, KB, MB, GB, TB, c (a counter)"`
	Warn  *Threshold `json:"warn,omitempty"`
	Crit  *Threshold `json:"crit,omitempty"`
	Min   *float64   `json:"min,omitempty"`
	Max   *float64   `json:"max,omitempty"`
}

// Threshold is a range of the Monitoring Plugins Development Guidelines: values outside of it raise an alert.
type Threshold struct {
	Text   string   `json:"text" doc:"as the plugin wrote it: 10, 10:, ~:10, 10:20, @10:20"`
	Low    *float64 `json:"low,omitempty" doc:"missing: open, as in ~:10"`
	High   *float64 `json:"high,omitempty" doc:"missing: open, as in 10:"`
	Inside *bool    `json:"inside,omitempty" doc:"true: values in the range, with its ends, raise the alert; false: those outside. Missing: the text is no range"`
}

// Values reads performance data for programs; what is no value is left out.
func Values(perf string) []PerfValue {
	list, _ := ParsePerf(perf)
	var out []PerfValue
	for _, x := range list {
		v := PerfValue{Label: x.Label, Unit: x.Unit, Warn: thresholdOf(x.WarnText, x.Warn), Crit: thresholdOf(x.CritText, x.Crit), Min: x.Min, Max: x.Max}
		if !math.IsNaN(x.Value) {
			v.Value = &x.Value
		}
		out = append(out, v)
	}
	return out
}

// thresholdOf leaves out what is infinite, for JSON has no such number; without a range it gives the text alone.
func thresholdOf(text string, r *Range) *Threshold {
	if text == "" {
		return nil
	}
	t := &Threshold{Text: text}
	if r == nil {
		return t
	}
	t.Inside = &r.Inside
	if !math.IsInf(r.From, 0) {
		t.Low = &r.From
	}
	if !math.IsInf(r.To, 0) {
		t.High = &r.To
	}
	return t
}
