/** What a process knows of the others that serve the same ports. */
export interface WorkerPlace {
  /** From 1. */
  readonly number: number
  /** How many there are. */
  readonly count: number
  /** Below it are the directories of the durable logs of all. */
  readonly walRoot: string
  /** HOST:PORT,… of the embedded broker, which the process has that started this one. */
  readonly embeddedBootstrap: string | undefined
}
