package agent

const MaxHolds = maxHolds
