import { performanceClock } from '../../core/clocks.js'
import type { OverloadedError } from '../../core/errors.js'
import { type HeldRecords, NAMELESS, type RecordBudget } from '../../core/record-budget.js'

/** How long messages that are there wait for room among the answers that leave: slow ones end after 5 s. */
const ROOM_MS = 10_000

export interface RoomWaitOptions {
  readonly records: RecordBudget
  /** Whose share the messages count to. */
  readonly client: string | undefined
  /** Called when there may be room, in a later tick. The messages were given back: they are to be asked for again. */
  readonly give: () => void
  /** Called when there was no room for so long that the request is refused. */
  readonly refuse: (error: OverloadedError) => void
}

/** The waits of one request for room for its messages, 10 s from the first one. After {@link end} it calls nothing. */
export class RoomWait {
  readonly #options: RoomWaitOptions
  #until: number | undefined
  #endWait: () => void = () => undefined

  constructor(options: RoomWaitOptions) {
    this.#options = options
  }

  /** Takes room. `undefined`: there is none, and it waits for some. */
  take(bytes: number): HeldRecords | undefined {
    const { records, client = NAMELESS, give, refuse } = this.#options
    const held = records.take(client, bytes)
    if (held !== undefined) return held
    this.#until ??= performanceClock() + ROOM_MS
    const timer = setTimeout(() => {
      leave()
      refuse(records.refusal(records.problemOf(client, bytes) ?? 'full'))
    }, this.#until - performanceClock())
    const leave = records.whenRoom(client, bytes, () => {
      clearTimeout(timer)
      give()
    })
    this.#endWait = () => {
      clearTimeout(timer)
      leave()
    }
    return undefined
  }

  end(): void {
    this.#endWait()
  }
}
