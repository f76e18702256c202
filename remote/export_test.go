package remote

// StartScript lets tests play a connection that breaks while a job is being started.
const StartScript = startScript
