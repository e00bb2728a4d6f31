import { CodecCore, type OpenResult } from '../../src/schemas/codec-core.js'
import {
  type CodecHost,
  callsOf,
  type HostedCodec,
  resultsOf,
  type Work,
  type WorkResults
} from '../../src/schemas/codec-host.js'

// Loading a format takes real time: in a test it could be more than a registry has, and time does not stand still in a world.
const texts = { AVRO: '"int"', JSONSCHEMA: '{}', PROTOBUF: 'syntax = "proto3"; message M {}' } as const
for (const format of ['AVRO', 'JSONSCHEMA', 'PROTOBUF'] as const) {
  const source = { text: texts[format], used: new Map<string, string>() }
  await new CodecCore().open({ type: 'open', codec: 1, format, source, isStrict: false })
}

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
