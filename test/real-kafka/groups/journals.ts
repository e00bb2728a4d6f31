import { closeSync, openSync, readSync } from 'node:fs'

const CHUNK_BYTES = 1024 * 1024

/** Lines that are appended to a file by another process; the last one may be cut. */
class Tail {
  readonly #file: number
  #rest = ''

  constructor(path: string) {
    this.#file = openSync(path, 'a+')
  }

  read(onLine: (line: string) => void): void {
    const buffer = Buffer.alloc(CHUNK_BYTES)
    for (let bytes = this.#next(buffer); bytes > 0; bytes = this.#next(buffer)) {
      const lines = (this.#rest + buffer.toString('latin1', 0, bytes)).split('\n')
      this.#rest = lines.pop()!
      for (const line of lines) onLine(line)
    }
  }

  close(): void {
    closeSync(this.#file)
  }

  #at = 0
  #next(buffer: Buffer): number {
    const bytes = readSync(this.#file, buffer, 0, buffer.length, this.#at)
    this.#at += bytes
    return bytes
  }
}

/** Grows as records are told. */
class Partition {
  seen = new Uint8Array(1024)
  count = 0
  /** Everything below was processed. */
  contiguous = 0

  /** False: it was processed before. */
  add(offset: number): boolean {
    if (offset >= this.seen.length) {
      const larger = new Uint8Array(2 * offset)
      larger.set(this.seen)
      this.seen = larger
    }
    if (this.seen[offset]) return false
    this.seen[offset] = 1
    this.count++
    while (this.seen[this.contiguous]) this.contiguous++
    return true
  }
}

/** What consumer processes have written down of the messages that they got, and what is wrong with it. */
export class Journals {
  readonly problems: string[] = []
  readonly partitions: readonly Partition[]
  handled = 0
  again = 0
  /** Of the messages that were got again: those that their own process had offered before. */
  retried = 0
  readonly #tails: { readonly name: string; readonly tail: Tail; readonly lastNew: number[] }[] = []

  constructor(partitions: number) {
    this.partitions = Array.from({ length: partitions }, () => new Partition())
  }

  follow(name: string, path: string): void {
    this.#tails.push({ name, tail: new Tail(path), lastNew: this.partitions.map(() => -1) })
  }

  /** Reads what has been written since. */
  read(): void {
    for (const { name, tail, lastNew } of this.#tails) tail.read(line => this.#line(name, line, lastNew))
  }

  get distinct(): number {
    return this.partitions.reduce((sum, { count }) => sum + count, 0)
  }

  close(): void {
    for (const { tail } of this.#tails) tail.close()
  }

  #line(name: string, line: string, lastNew: number[]): void {
    const [partition, offset, retries, value] = line.split(' ') as [string, string, string, string]
    const [at, position] = [Number(partition), Number(offset)]
    this.handled++
    if (Number(retries) > 0) this.retried++
    if (value !== `${partition}-${offset}`) this.problems.push(`${name}: ${partition}/${offset} holds ${value}`)
    if (!this.partitions[at]!.add(position)) this.again++
    else if (position < lastNew[at]! && retries === '0') {
      this.problems.push(`${name}: ${partition}/${offset} came first behind ${lastNew[at]}`)
    } else lastNew[at] = position
  }
}
