import { X509Certificate } from 'node:crypto'
import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { Certificates, type TlsMaterial } from '../../../src/http/server/certificates.js'
import { httpTlsSettings, type ListenerTlsSettings } from '../../../src/http/server/settings.js'
import { TestAuthority } from '../../support/certificates.js'
import { type LogLine, recordingLogger } from './stage.js'

describe('http: the files of a certificate', () => {
  const authority = new TestAuthority()
  const good: TlsMaterial = { ca: authority.cert, ...authority.issue({ commonName: 'one' }) }
  let lines: LogLine[]
  let material: TlsMaterial
  let reads: number
  let clock: SinonFakeTimers
  beforeEach(() => {
    clock = useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    lines = []
    material = good
    reads = 0
  })
  afterEach(() => clock.restore())

  const open = (settings: Partial<ListenerTlsSettings> = {}): Promise<Certificates> =>
    Certificates.open({
      section: 'its.tls',
      settings: { ...httpTlsSettings.parse({}), ...settings },
      read: async () => {
        reads++
        return material
      },
      log: recordingLogger(lines)
    })
  /** A server that counts how often it was given a certificate. */
  const server = () => {
    const given: unknown[] = []
    return { given, setSecureContext: (options: unknown) => void given.push(options) }
  }
  const reloaded = async (certificates: Certificates, next: Partial<TlsMaterial>): Promise<boolean> => {
    material = { ...material, ...next }
    return certificates.reload()
  }
  const problemOf = async (next: Partial<TlsMaterial>): Promise<string> => {
    material = { ...good, ...next }
    return open().then(
      () => 'none',
      (error: Error) => error.message
    )
  }

  it('are used when any of them has changed, by every server, and not when none has', async () => {
    const certificates = await open()
    const servers = [server(), server()]
    for (const each of servers) certificates.serve(each as never)
    expect(await reloaded(certificates, {})).to.equal(false)
    expect(servers.map(({ given }) => given.length)).to.deep.equal([0, 0])
    const renewed = authority.issue({ commonName: 'one' })
    expect(await reloaded(certificates, renewed)).to.equal(true)
    expect(servers.map(({ given }) => given.length)).to.deep.equal([1, 1])
    expect(certificates.options).to.include({ cert: renewed.cert, key: renewed.key, ca: authority.cert })
    const other = new TestAuthority()
    expect(await reloaded(certificates, { ca: other.cert })).to.equal(true)
    expect(certificates.options.ca).to.equal(other.cert)
    expect(await reloaded(certificates, { ca: undefined })).to.equal(true)
    expect(certificates.options).not.to.have.property('ca')
    expect(await reloaded(certificates, { cert: `${renewed.cert}\n` })).to.equal(true)
    expect(await reloaded(certificates, { key: `${renewed.key}\n` })).to.equal(true)
    expect(servers.map(({ given }) => given.length)).to.deep.equal([5, 5])
    certificates.close()
  })

  it('are told as unusable again when they were usable in between', async () => {
    const certificates = await open()
    const bad = { cert: 'nothing' }
    const next = authority.issue({ commonName: 'two' })
    const results = []
    for (const each of [bad, bad, next, bad, next]) results.push(await reloaded(certificates, each))
    expect(results).to.deep.equal([false, false, true, false, false])
    expect(lines.map(({ level }) => level)).to.deep.equal(['warn', 'info', 'warn'])
    expect(certificates.options.cert).to.equal(next.cert)
  })

  it('are read at intervals from the first server on, once for all of them, until it is closed', async () => {
    const certificates = await open({ reloadIntervalMs: 1_000 })
    clock.tick(5_000)
    expect(reads).to.equal(1)
    for (const each of [server(), server()]) certificates.serve(each as never)
    clock.tick(999)
    expect(reads).to.equal(1)
    clock.tick(1_001)
    expect(reads).to.equal(3)
    certificates.close()
    clock.tick(5_000)
    expect([reads, clock.countTimers()]).to.deep.equal([3, 0])
  })

  it('cannot be used without a certificate, in part, or with one among them that cannot be read', async () => {
    const block = (kind: string, text: string): string => `-----BEGIN ${kind}-----\n${text}\n-----END ${kind}-----\n`
    const garbage = Buffer.from('garbage').toString('base64')
    expect(await problemOf({})).to.equal('none')
    expect(await problemOf({ ca: undefined })).to.equal('none')
    expect(await problemOf({ ca: `a comment\n${authority.cert}\n${new TestAuthority().cert}` })).to.equal('none')
    const bad: Partial<TlsMaterial>[] = [
      { cert: undefined },
      { cert: '' },
      { cert: `${good.cert}-----BEGIN CERTIFICATE-----\n` },
      { cert: good.cert!.replace(/END CERTIFICATE/, 'END KEY') },
      { ca: '' },
      { ca: authority.cert + block('CERTIFICATE', garbage) },
      { ca: authority.cert + block('TRUSTED CERTIFICATE', garbage) },
      { ca: authority.cert.slice(0, -40) + authority.cert },
      { key: authority.issue({ commonName: 'other' }).key }
    ]
    for (const [at, each] of bad.entries()) {
      expect(await problemOf(each), `case ${at}`).to.match(/^its\.tls: the files cannot be used: /)
    }
  })

  it('may hold other things beside certificates', async () => {
    expect(await problemOf({ cert: good.cert! + good.key! })).to.equal('none')
  })

  it('may name hosts in place of a subject, as those of several authorities do', async () => {
    const names = ['DNS:one.example', 'DNS:two.example']
    for (const [alternativeNames, subject] of [
      [names, 'DNS:one.example, DNS:two.example'],
      [[], 'no subject']
    ] as const) {
      material = authority.issue({ commonName: '', alternativeNames }) as TlsMaterial
      expect((await open()).view).to.deep.include({ of: 'its.tls', subject })
    }
  })

  it('cannot be used when no certificate says when it ends', async () => {
    const der = new X509Certificate(good.cert!).raw
    const at = der.lastIndexOf(Buffer.from([0x18, 15]))
    der.write('20269999', at + 2)
    const cert = `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`
    expect(await problemOf({ cert })).to.equal(
      'its.tls: the files cannot be used: no certificate of a PEM file says when it ends'
    )
    expect(await problemOf({ cert: good.cert! + cert })).to.equal('none')
  })

  it('ask clients for certificates as the settings say', async () => {
    const asked: [ListenerTlsSettings['clientAuth'], object][] = [
      ['none', { requestCert: false, rejectUnauthorized: false }],
      ['optional', { requestCert: true, rejectUnauthorized: false }],
      ['required', { requestCert: true, rejectUnauthorized: true }]
    ]
    for (const [clientAuth, expected] of asked) {
      const { options } = await open({ clientAuth })
      expect(options, clientAuth).to.deep.include(expected)
      expect(options.secureOptions !== undefined, 'no session outlives its authority').to.equal(clientAuth !== 'none')
    }
  })
})
