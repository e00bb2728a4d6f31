import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** A key store for the brokers and the certificate their clients shall trust. */
export interface Certificate {
  readonly keyStorePath: string
  readonly password: string
  /** PEM file; it is its own authority. */
  readonly certificatePath: string
  readonly pem: string
}

/** Makes a self-signed certificate for localhost and 127.0.0.1 with the JDK's keytool. */
export async function makeCertificate(directory: string, name = 'brokers'): Promise<Certificate> {
  const keyStorePath = join(directory, `${name}.p12`)
  const certificatePath = join(directory, `${name}.pem`)
  const password = 'for-tests-only'
  const store = ['-keystore', keyStorePath, '-storetype', 'PKCS12', '-storepass', password, '-alias', 'broker']
  const subject = ['-dname', 'CN=localhost', '-ext', 'SAN=DNS:localhost,IP:127.0.0.1', '-ext', 'BC:c=ca:true']
  const keytool = promisify(execFile)
  await keytool('keytool', [
    '-genkeypair',
    '-keyalg',
    'RSA',
    '-keysize',
    '2048',
    '-validity',
    '30',
    ...subject,
    ...store
  ])
  await keytool('keytool', ['-exportcert', '-rfc', '-file', certificatePath, ...store])
  return { keyStorePath, password, certificatePath, pem: await readFile(certificatePath, 'utf8') }
}
