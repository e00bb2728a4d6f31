import { type ClientRequest, request } from 'node:http'
import { answerParent } from './child.js'

/** Streams of records of 1 KiB to Confluent's API, version 3. */
export interface RecordStreamsSetup {
  readonly port: number
  readonly path: string
  readonly streams: number
  /** Of each stream, which ends then. Absent: until they are told to end. */
  readonly records?: number
}

const RECORD_BYTES = 1_024
/** Values of neighbouring records differ in length, so that an answer tells which one of them it belongs to. */
const LENGTHS = 16
/** Records that a client writes at once: about 64 KiB. */
const RECORDS_OF_A_PIECE = 64
/** Records without an answer, from which a client waits. */
const MAX_IN_FLIGHT = 4_096

const lengthOf = (index: number): number => RECORD_BYTES - (index % LENGTHS)

const recordAt = (index: number): string =>
  `{"value":{"type":"JSON","data":"${'x'.repeat(lengthOf(index) - '""'.length)}"}}\n`

const piece = (records: number): Buffer =>
  Buffer.from(Array.from({ length: records }, (_, at) => recordAt(at)).join(''))
const WHOLE_PIECE = piece(RECORDS_OF_A_PIECE)

/** One request that is held open. Its answers are compared with the records, one by one. */
class Stream {
  readonly #call: ClientRequest
  readonly #records: number
  readonly #nextOffsets = new Map<number, number>()
  readonly #onAnswered: (answers: number) => void
  readonly over: Promise<void>
  #sent = 0
  #answered = 0
  #isEnded = false
  #text = ''

  constructor({ port, path, records = Infinity }: RecordStreamsSetup, onAnswered: (answers: number) => void) {
    this.#records = records
    this.#onAnswered = onAnswered
    const headers = { 'content-type': 'application/json' }
    this.#call = request({ host: '127.0.0.1', port, path, method: 'POST', agent: false, headers })
    this.over = new Promise((resolve, reject) => {
      this.#call.on('error', reject)
      this.#call.on('response', response => {
        if (response.statusCode !== 200) reject(new Error(`a stream was answered ${response.statusCode}`))
        response.on('error', reject)
        response.on('data', (chunk: Buffer) => {
          try {
            this.#came(chunk)
          } catch (error) {
            reject(error)
          }
        })
        response.on('end', () => {
          if (this.#answered === this.#sent) resolve()
          else reject(new Error(`a stream ended after ${this.#answered} answers to ${this.#sent} records`))
        })
      })
    })
    // The code that awaits the end gets the error.
    this.over.catch(() => undefined)
    this.#call.on('drain', () => this.#fill())
    this.#fill()
  }

  end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#call.end()
  }

  #fill(): void {
    while (!this.#isEnded && this.#sent - this.#answered < MAX_IN_FLIGHT) {
      const count = Math.min(RECORDS_OF_A_PIECE, this.#records - this.#sent)
      this.#sent += count
      const isFree = this.#call.write(count === RECORDS_OF_A_PIECE ? WHOLE_PIECE : piece(count))
      if (this.#sent === this.#records) this.end()
      if (!isFree) return
    }
  }

  #came(chunk: Buffer): void {
    const text = this.#text + chunk.toString('latin1')
    const before = this.#answered
    let from = 0
    for (let end = text.indexOf('\r\n'); end >= 0; end = text.indexOf('\r\n', from)) {
      this.#compare(text, from, end)
      from = end + 2
    }
    this.#text = text.slice(from)
    this.#onAnswered(this.#answered - before)
    if (!this.#call.writableNeedDrain) this.#fill()
  }

  /** Answers come in the order of the records, and offsets of a partition grow. */
  #compare(text: string, from: number, end: number): void {
    const numberAfter = (name: string): number => {
      const at = text.indexOf(name, from)
      return at < 0 || at > end ? -1 : Number.parseInt(text.slice(at + name.length, at + name.length + 16), 10)
    }
    const partition = numberAfter('"partition_id":')
    const offset = numberAfter('"offset":')
    const isNext = offset >= (this.#nextOffsets.get(partition) ?? 0)
    // A piece has a multiple of the lengths.
    if (numberAfter('"size":') !== lengthOf(this.#answered) || !isNext) {
      throw new Error(`the answer to record ${this.#answered} is ${text.slice(from, end)}`)
    }
    this.#nextOffsets.set(partition, offset + 1)
    this.#answered++
  }
}

let streams: readonly Stream[] = []
let answered = 0
let wanted = Infinity
let reached: () => void = () => undefined

function open(setup: RecordStreamsSetup): void {
  answered = 0
  const onAnswered = (answers: number): void => {
    answered += answers
    if (answered >= wanted) reached()
  }
  streams = Array.from({ length: setup.streams }, () => new Stream(setup, onAnswered))
}

/** Resolves when this many records were answered since the streams were opened. */
function until({ records }: { readonly records: number }): Promise<void> {
  const isReached = new Promise<void>(resolve => {
    wanted = records
    reached = resolve
    if (answered >= records) resolve()
  })
  return Promise.race([isReached, Promise.all(streams.map(({ over }) => over)).then(() => undefined)])
}

/** Ends all streams. Resolves with the number of records, when each has its answer. */
async function close(): Promise<number> {
  for (const stream of streams) stream.end()
  await Promise.all(streams.map(({ over }) => over))
  return answered
}

answerParent({ start: () => ({}), open, until, answered: () => answered, close })
