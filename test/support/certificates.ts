import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'

/** A certificate with its private key, both PEM. Made anew in every run, so that no key is ever kept. */
export interface TestCertificate {
  readonly cert: string
  readonly key: string
}

/** Who a certificate is for, and when it is good; default: today, give or take a day. */
export interface Subject {
  /** Empty: the subject has no name. */
  readonly commonName: string
  /** `DNS:localhost`, `IP:127.0.0.1`, `URI:spiffe://…` */
  readonly alternativeNames?: readonly string[]
  readonly notBefore?: Date
  readonly notAfter?: Date
}

const DAY_MS = 86_400_000

/** An authority that signs certificates. P-256 and SHA-256, written in DER by hand: the tests need nothing but Node. */
export class TestAuthority {
  readonly cert: string
  readonly #name: Buffer
  readonly #key: KeyObject

  constructor(commonName = 'castellan test authority') {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    this.#name = nameOf(commonName)
    this.#key = privateKey
    const isAuthority = extension('551d13', true, sequence(Buffer.from([0x01, 0x01, 0xff])))
    this.cert = this.#sign({ commonName }, publicKey, isAuthority)
  }

  issue(subject: Subject): TestCertificate {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const { alternativeNames = [] } = subject
    const names = extension('551d11', false, sequence(...alternativeNames.map(alternativeName)))
    const cert = this.#sign(subject, publicKey, ...(alternativeNames.length > 0 ? [names] : []))
    return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string }
  }

  #sign(subject: Subject, publicKey: KeyObject, ...extensions: Buffer[]): string {
    const { commonName, notBefore = new Date(Date.now() - DAY_MS), notAfter = new Date(Date.now() + DAY_MS) } = subject
    const algorithm = sequence(oid('2a8648ce3d040302'))
    const body = sequence(
      tagged(0xa0, tagged(0x02, Buffer.from([2]))),
      tagged(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
      algorithm,
      this.#name,
      sequence(timeOf(notBefore), timeOf(notAfter)),
      nameOf(commonName),
      publicKey.export({ type: 'spki', format: 'der' }),
      ...(extensions.length > 0 ? [tagged(0xa3, sequence(...extensions))] : [])
    )
    const signature = Buffer.concat([Buffer.from([0]), sign('sha256', body, this.#key)])
    const der = sequence(body, algorithm, tagged(0x03, signature))
    const lines = der.toString('base64').match(/.{1,64}/g)!
    return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
  }
}

function tagged(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents)
  const length =
    content.length < 128
      ? Buffer.from([content.length])
      : Buffer.from([0x82, content.length >> 8, content.length & 255])
  return Buffer.concat([Buffer.from([tag]), length, content])
}

const sequence = (...contents: readonly Buffer[]): Buffer => tagged(0x30, ...contents)
const oid = (hex: string): Buffer => tagged(0x06, Buffer.from(hex, 'hex'))

const nameOf = (commonName: string): Buffer =>
  commonName === ''
    ? sequence()
    : sequence(tagged(0x31, sequence(oid('550403'), tagged(0x0c, Buffer.from(commonName)))))

/** GeneralizedTime: 20260131235959Z. */
const timeOf = (date: Date): Buffer =>
  tagged(0x18, Buffer.from(`${date.toISOString().replace(/\D/g, '').slice(0, 14)}Z`))

const extension = (id: string, isCritical: boolean, value: Buffer): Buffer =>
  sequence(oid(id), ...(isCritical ? [Buffer.from([0x01, 0x01, 0xff])] : []), tagged(0x04, value))

function alternativeName(text: string): Buffer {
  const [, kind = '', name = ''] = text.match(/^(\w+):(.*)$/) ?? []
  if (kind === 'IP') return tagged(0x87, Buffer.from(name.split('.').map(Number)))
  return tagged(kind === 'URI' ? 0x86 : 0x82, Buffer.from(name))
}
