import { once } from 'node:events'
import { Socket } from 'node:net'
import { type Batch, type Castellan, openCastellan, type TransactionError } from '../../../src/client.js'
import { type EtlOptions, hasBill } from './etl-options.js'

const END_TXN = 26
const EACH_THAT_THROWS = 5

/**
 * Reads orders and writes a bill for each, in transactions, until it ends or is killed. It says of each transaction `open N` when it
 * has written and acknowledged, `end N` when its end is sent, and then `committed N` or `failed N CODE COMMITTED`. A bill is `ORDER ATTEMPT`,
 * an attempt `PID.N`.
 */
class EtlProgram {
  readonly #options: EtlOptions
  readonly #castellan: Castellan
  #attempts = 0
  #isHeld: boolean

  constructor(options: EtlOptions, castellan: Castellan) {
    this.#options = options
    this.#castellan = castellan
    this.#isHeld = options.holdsFirst === true
  }

  async run(): Promise<never> {
    const { group, orders } = this.#options
    while (true) {
      try {
        const batches = this.#castellan
          .consume({ group, topics: orders, start: 'earliest' })
          .batches({ maxMessages: 20 })
        for await (const batch of batches) await this.#bill(batch)
      } catch (error) {
        console.error(error)
      }
    }
  }

  async #bill(batch: Batch): Promise<void> {
    const { id, bills, timeoutMs = 20_000 } = this.#options
    const billed = [...batch].filter(({ value }) => hasBill(String(value)))
    const others = [...batch].filter(({ value }) => !hasBill(String(value)))
    const attempt = ++this.#attempts
    try {
      await this.#castellan.transaction(
        id,
        async tx => {
          const written = tx.produce(
            billed.map(({ value }) => ({ topic: bills, value: `${value} ${process.pid}.${attempt}` }))
          )
          for (const message of billed) tx.ack(message)
          if (this.#isHeld) await written.then(() => this.#held(attempt))
          else if (attempt % EACH_THAT_THROWS === 0) throw new RangeError('no')
          // Some of them while the positions and the end are on their way.
          for (const [ms, message] of others.entries()) setTimeout(() => message.ack(), ms)
        },
        { timeoutMs }
      )
      console.log(`committed ${attempt}`)
    } catch (error) {
      const { code, committed } = error as Partial<TransactionError>
      console.log(`failed ${attempt} ${code ?? 'thrown'} ${committed ?? 'no'}`)
      if (code === 'fenced') process.exit(3)
    } finally {
      for (const message of others) message.ack()
    }
  }

  async #held(attempt: number): Promise<void> {
    this.#isHeld = false
    const goesOn = once(process, 'SIGUSR2')
    console.log(`open ${attempt}`)
    await goesOn
  }
}

/** Tells of each end that is sent, and does to this process what is asked for. */
function watchEnds({ nth, signal, when }: NonNullable<EtlOptions['atEnd']>): void {
  const { write } = Socket.prototype
  let ends = 0
  Socket.prototype.write = function (this: Socket, ...args: Parameters<typeof write>) {
    const [bytes] = args
    const isEnd = Buffer.isBuffer(bytes) && bytes.length > 6 && bytes.readInt16BE(4) === END_TXN
    if (!isEnd || ++ends !== nth) return write.apply(this, args)
    console.log(`end ${ends}`)
    if (when === 'before') process.kill(process.pid, signal)
    const written = write.apply(this, args)
    if (when === 0) process.kill(process.pid, signal)
    else if (when !== 'before') setTimeout(() => process.kill(process.pid, signal), when)
    return written
  } as typeof write
}

const options = JSON.parse(process.argv[2]!) as EtlOptions
if (options.atEnd !== undefined) watchEnds(options.atEnd)
const { brokers, instanceId } = options
const castellan = await openCastellan({
  brokers,
  router: { isolationLevel: 'readCommitted' },
  consumer: { ...(instanceId !== undefined && { instanceId }), sessionTimeoutMs: 6_000, heartbeatIntervalMs: 200 }
})
await new EtlProgram(options, castellan).run()
