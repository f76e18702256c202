package converge

import (
	"encoding/json"
	"math"
	"time"
)

// reportJSON is the form of a Report for programs: seconds, and a list that is never null.
type reportJSON struct {
	Cycles    int          `json:"cycles"`
	Confirmed bool         `json:"confirmed"`
	Took      float64      `json:"took"`
	Hosts     []HostReport `json:"hosts"`
}

// MarshalJSON gives Took in seconds.
func (r Report) MarshalJSON() ([]byte, error) {
	return json.Marshal(reportJSON{r.Cycles, r.Confirmed, r.Took.Seconds(), append([]HostReport{}, r.Hosts...)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *Report) UnmarshalJSON(b []byte) error {
	var j reportJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*r = Report{j.Cycles, j.Confirmed, time.Duration(math.Round(j.Took * float64(time.Second))), j.Hosts}
	return nil
}
