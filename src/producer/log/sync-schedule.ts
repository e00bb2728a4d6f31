export interface SyncScheduleOptions {
  /** Sync after so many appends and completions. */
  readonly syncEveryOperations?: number | undefined
  /** Sync when the oldest unsynced operation is this old. */
  readonly syncIntervalMs?: number | undefined
}

/** Without a sync for every append: when the next one is due. */
export class SyncSchedule {
  readonly #options: SyncScheduleOptions
  readonly #sync: () => Promise<unknown>
  #unsynced = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: SyncScheduleOptions, sync: () => Promise<unknown>) {
    this.#options = options
    this.#sync = sync
  }

  operated(count: number): void {
    if (count === 0) return
    const { syncEveryOperations, syncIntervalMs } = this.#options
    this.#unsynced += count
    if (syncEveryOperations !== undefined && this.#unsynced >= syncEveryOperations) this.#now()
    else if (syncIntervalMs !== undefined) this.#timer ??= setTimeout(() => this.#now(), syncIntervalMs)
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #now(): void {
    this.stop()
    this.#unsynced = 0
    void this.#sync()
  }
}
