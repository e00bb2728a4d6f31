import { CodecCore, type OpenResult } from '../../src/schemas/codec-core.js'
import {
  type CodecHost,
  callsOf,
  type HostedCodec,
  resultsOf,
  type Work,
  type WorkResults
} from '../../src/schemas/codec-host.js'

/** Runs codecs at once, and keeps them all: for tests and worlds, which have no threads. */
export class CodecsInPlace implements CodecHost {
  readonly #core = new CodecCore()

  open({ number, source }: HostedCodec, _owner?: string): Promise<OpenResult> {
    return this.#core.open({ type: 'open', codec: number, ...source })
  }

  now(work: Work): WorkResults {
    const run = this.#core.run(callsOf([work])[0]!)
    for (const _ of run);
    return resultsOf(run.result)
  }

  async run(work: Work): Promise<WorkResults> {
    return this.now(work)
  }

  close(): void {}
}
