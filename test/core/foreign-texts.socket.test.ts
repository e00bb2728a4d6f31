import { accessSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { connect, createSecureContext } from 'node:tls'
import { fromJson, toJson } from '@bufbuild/protobuf'
import { TimestampSchema } from '@bufbuild/protobuf/wkt'
import { expect } from 'chai'
import { Command, Option } from 'commander'
import { parseDocument } from 'yaml'
import { foreignTexts } from '../../src/core/foreign-texts.js'
import { TestAuthority } from '../support/certificates.js'

/** What work says that fails. */
function saidBy(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    return (error as Error).message
  }
  throw new Error('it does not fail')
}

/** What commander says about these arguments. */
function saidOf(...args: readonly string[]): string {
  const number = (text: string): number => {
    throw Object.assign(new Error(`not ${text}`), { code: 'commander.invalidArgument' })
  }
  const command = new Command('try')
    .configureOutput({ writeErr: () => undefined })
    .showSuggestionAfterError(false)
    .exitOverride()
    .argument('<topic>', 'where', text => (text === '' || text === 'no topic' ? number(text) : text))
    .addOption(new Option('-p, --port <PORT>').argParser(number))
    .addOption(new Option('--format <FORMAT>').choices(['table', 'json']))
  return saidBy(() => command.parse(args, { from: 'user' }))
}

const overflow = (): number => overflow() + 1

/** A frame of 100,000 equal bytes that does not claim its size. */
const ZSTD_FRAME = Buffer.from('28b52ffd00580335 0c78'.replace(' ', ''), 'hex')

async function saidByZstd(): Promise<string> {
  const module = (await import('@bokuweb/zstd-wasm')) as unknown as { default?: typeof import('@bokuweb/zstd-wasm') }
  const zstd = (module.default ?? module) as typeof import('@bokuweb/zstd-wasm') & { [LOADING]?: Promise<void> }
  // The sources may have initialised it.
  await (zstd[LOADING] ??= zstd.init())
  return saidBy(() => zstd.decompress(ZSTD_FRAME, { defaultHeapSize: 10 }))
}
const LOADING = Symbol.for('castellan.zstd.loading')

/** What OpenSSL says where a server answers with an alert. */
async function saidOfAlert(): Promise<string> {
  const server = createServer(socket =>
    socket.on('error', () => undefined).once('data', () => socket.end(Buffer.from('15030100020246', 'hex')))
  )
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const error = await new Promise<Error>(resolve => connect({ port, host: '127.0.0.1' }).once('error', resolve))
  server.close()
  return error.message
}

const badPort = (): Promise<string> =>
  fetch('http://127.0.0.1:6000').catch((error: Error) => String((error.cause as Error).message)) as Promise<string>

const [one, other] = [1, 2].map(() => new TestAuthority().issue({ commonName: 'one' }))

type Said = string | Promise<string>
const said: {
  readonly [Package in keyof typeof foreignTexts]: {
    readonly [Name in keyof (typeof foreignTexts)[Package]]: () => readonly Said[]
  }
} = {
  '@bokuweb/zstd-wasm': { tooSmall: () => [saidByZstd()] },
  '@bufbuild/protobuf': {
    beginning: () => [
      saidBy(() => fromJson(TimestampSchema, 'no time')),
      saidBy(() => toJson(TimestampSchema, { $typeName: 'google.protobuf.Timestamp', seconds: 1n << 60n, nanos: 0 }))
    ]
  },
  commander: {
    emptyOption: () => [saidOf('a', '--port=')],
    wrongOption: () => [saidOf('a', '--port=x'), saidOf('a', '--format=xml')],
    optionWithoutValue: () => [saidOf('a', '--port')],
    emptyArgument: () => [saidOf('')],
    wrongArgument: () => [saidOf('no topic')],
    missingArgument: () => [saidOf()],
    tooManyArguments: () => [saidOf('a', 'b')],
    unknownOption: () => [saidOf('a', '--prot=1')],
    beginning: () => [saidOf()]
  },
  node: { badPort: () => [badPort()], call: () => [saidBy(() => accessSync('/there/is/no/such/folder'))] },
  OpenSSL: {
    alert: () => [saidOfAlert()],
    otherKey: () => [saidBy(() => createSecureContext({ cert: one!.cert, key: other!.key }))],
    noPem: () => [
      saidBy(() => createSecureContext({ cert: 'no PEM' })),
      saidBy(() => createSecureContext({ key: 'no PEM' }))
    ]
  },
  V8: { deepStack: () => [saidBy(overflow)] },
  yaml: { quotation: () => parseDocument('a: !hush 1').warnings.map(({ message }) => message) }
}

describe('texts of other packages', () => {
  for (const [name, texts] of Object.entries(foreignTexts)) {
    for (const [text, pattern] of Object.entries(texts as Readonly<Record<string, RegExp>>)) {
      it(`${name} says what is looked for as ${text}`, async () => {
        const all = await Promise.all(
          (said[name as keyof typeof said] as Readonly<Record<string, () => readonly Said[]>>)[text]!()
        )
        expect(all).not.to.have.length(0)
        for (const one of all) expect(one).to.match(pattern)
      })
    }
  }

  it('yaml quotes a file only behind what is looked for as its quotation', () => {
    const [{ message } = { message: '' }] = parseDocument('a: !hush 1').warnings
    expect(message).to.include('hush')
    expect(message.replace(foreignTexts.yaml.quotation, '')).not.to.include('hush')
  })
})
