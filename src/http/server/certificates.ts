import { constants, X509Certificate } from 'node:crypto'
import { createSecureContext, type Server, type TlsOptions } from 'node:tls'
import { ConfigError } from '../../core/errors.js'
import { foreignTexts } from '../../core/foreign-texts.js'
import { isInstant } from '../../core/instants.js'
import type { Logger } from '../../core/model.js'
import type { ListenerTlsSettings } from './settings.js'

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g
const ANY_BEGIN = /-----BEGIN /g

/** The contents of the files that TLS settings name, in PEM. */
export interface TlsMaterial {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
}

export interface CertificateView {
  /** The section of the settings: `http.tls`. */
  readonly of: string
  readonly subject: string
  /** Epoch milliseconds. */
  readonly validTo: number
}

/** The certificate in a PEM text that expires first. @throws Error if no certificate can be read */
export function certificateViewOf(of: string, pem: string): CertificateView {
  const [first] = [...pem.matchAll(BLOCK)]
    .filter(([, kind]) => kind!.endsWith('CERTIFICATE'))
    .map(([block]) => new X509Certificate(block))
    .map(one => ({ of, subject: subjectOf(one), validTo: Date.parse(one.validTo) }))
    .filter(({ validTo }) => isInstant(validTo))
    .sort((one, other) => one.validTo - other.validTo)
  if (first === undefined) throw new Error('no certificate of a PEM file says when it ends')
  return first
}

/** Certificates that name hosts only in their extension have no subject, for which Node returns nothing. */
const subjectOf = ({ subject, subjectAltName }: Partial<X509Certificate>): string =>
  subject?.replaceAll('\n', ', ') ?? subjectAltName ?? 'no subject'

export interface CertificateSource {
  readonly section: string
  readonly settings: ListenerTlsSettings
  readonly read: () => Promise<TlsMaterial>
  readonly log: Logger
}

/**
 * The certificate of one or more listeners. Its files are read again at intervals and on demand; changed ones are used
 * for new connections. Files that cannot be used, because they are half written or do not match yet, are logged and
 * otherwise ignored.
 */
export class Certificates {
  readonly #source: CertificateSource
  readonly #servers: Server[] = []
  #material: TlsMaterial
  #rejected: TlsMaterial | undefined
  #timer: NodeJS.Timeout | undefined

  private constructor(source: CertificateSource, material: TlsMaterial) {
    this.#source = source
    this.#material = material
  }

  /**
   * Reads and checks the files.
   *
   * @throws ConfigError naming the settings when they cannot be used
   */
  static async open(source: CertificateSource): Promise<Certificates> {
    const material = await source.read()
    check(material, source)
    return new Certificates(source, material)
  }

  get options(): TlsOptions {
    return toOptions(this.#material, this.#source.settings)
  }

  /** The certificate in use; of a chain, the one that ends first. */
  get view(): CertificateView {
    return certificateViewOf(this.#source.section, this.#material.cert ?? '')
  }

  /** Keeps the certificate of a server up to date until {@link close}. */
  serve(server: Server): void {
    this.#servers.push(server)
    this.#timer ??= setInterval(() => void this.reload(), this.#source.settings.reloadIntervalMs).unref()
  }

  /** Reads the files now; true when new ones are in use. */
  async reload(): Promise<boolean> {
    try {
      const material = await this.#source.read()
      if (isSame(material, this.#material)) return false
      // The same unusable files are reported once only.
      if (this.#rejected && isSame(material, this.#rejected)) return false
      this.#rejected = material
      check(material, this.#source)
      return this.#use(material)
    } catch (error) {
      const { section, log } = this.#source
      log.warn({ err: error }, `the changed files of ${section} cannot be used; the certificate in use stays`)
      return false
    }
  }

  /**
   * Reads and checks the files, and changes nothing.
   *
   * @returns what to call to use them
   * @throws ConfigError when they cannot be used
   */
  async prepare(): Promise<() => void> {
    const material = await this.#source.read()
    check(material, this.#source)
    return () => void this.#use(material)
  }

  /** @returns whether they differ from those in use */
  #use(material: TlsMaterial): boolean {
    this.#rejected = undefined
    if (isSame(material, this.#material)) return false
    const { section, settings, log } = this.#source
    const options = toOptions(material, settings)
    for (const server of this.#servers) server.setSecureContext(options)
    this.#material = material
    log.info({ validTo: new X509Certificate(material.cert!).validTo }, `the changed files of ${section} are in use`)
    return true
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

const isSame = (one: TlsMaterial, other: TlsMaterial): boolean =>
  one.ca === other.ca && one.cert === other.cert && one.key === other.key

function toOptions({ ca, cert, key }: TlsMaterial, { clientAuth, minVersion }: ListenerTlsSettings): TlsOptions {
  return {
    cert: cert!,
    key: key!,
    minVersion,
    honorCipherOrder: true,
    ALPNProtocols: ['http/1.1'],
    ...(ca !== undefined && { ca }),
    // Resuming a session would admit a client whose authority is not trusted any more.
    ...(clientAuth !== 'none' && { secureOptions: constants.SSL_OP_NO_TICKET }),
    requestCert: clientAuth !== 'none',
    rejectUnauthorized: clientAuth === 'required'
  }
}

/**
 * Node ignores unreadable entries in a list of authorities, and uses the public ones when none is left. So every
 * certificate is parsed here first.
 */
function check(material: TlsMaterial, { section, settings }: CertificateSource): void {
  try {
    requireCertificates(material.cert ?? '')
    if (material.ca !== undefined) requireCertificates(material.ca)
    createSecureContext(toOptions(material, settings))
    certificateViewOf(section, material.cert ?? '')
  } catch (error) {
    throw new ConfigError(`${section}: the files cannot be used: ${whyUnusable(error as Error)}`)
  }
}

const { otherKey, noPem } = foreignTexts.OpenSSL

/** Explains why OpenSSL refuses files, where its own words do not say what to change. */
export function whyUnusable({ message }: Error): string {
  if (otherKey.test(message)) return 'the key of keyFile does not belong to the certificate of certFile'
  if (noPem.test(message)) return 'keyFile has no private key, or certFile no certificate, in PEM form'
  return message
}

function requireCertificates(pem: string): void {
  const blocks = [...pem.matchAll(BLOCK)]
  if (blocks.length === 0 || blocks.length !== [...pem.matchAll(ANY_BEGIN)].length) {
    throw new Error('a PEM file has no certificate or ends in the middle of one')
  }
  for (const [block, kind] of blocks) if (kind!.endsWith('CERTIFICATE')) new X509Certificate(block)
}
