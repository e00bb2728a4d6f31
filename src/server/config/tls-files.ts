import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { ConfigError } from '../../core/errors.js'
import { readTlsFiles, type TlsFiles, unreadable } from '../../core/files/tls-files.js'
import { messageOf } from '../../core/node-errors.js'
import { type TlsMaterial, whyUnusable } from '../../http/server/certificates.js'
import type { ListenerTlsSettings } from '../../http/server/settings.js'
import type { SaslSettings } from '../../kafka/settings.js'

/** The files of `peers.tlsDirectory`. They have the names of a secret of Kubernetes. */
export const tlsFilesIn = (directory: string): TlsFiles => ({
  caFile: join(directory, 'ca.crt'),
  certFile: join(directory, 'tls.crt'),
  keyFile: join(directory, 'tls.key')
})

/**
 * Reads the certificate authorities of the token URL.
 *
 * @throws ConfigError when the file cannot be read
 */
export function readTokenCaFile(clusterName: string, { tokenCaFile }: SaslSettings): string | undefined {
  if (tokenCaFile === undefined) return undefined
  try {
    return readFileSync(tokenCaFile, 'utf8')
  } catch (error) {
    throw unreadable(`clusters.${clusterName}.sasl.tokenCaFile`, tokenCaFile, error)
  }
}

/**
 * Reads the TLS files of a listener. It is called at the start and at every reload.
 *
 * @param section the section with the settings, for messages
 * @throws ConfigError naming the setting whose file cannot be read
 */
export async function readListenerTlsFiles(
  section: string,
  { caFile, certFile, keyFile }: ListenerTlsSettings
): Promise<TlsMaterial> {
  const read = async (setting: string, fileName: string | undefined): Promise<string | undefined> =>
    fileName === undefined ? undefined : readTextFile(`${section}.${setting}`, fileName)
  return {
    ca: await read('caFile', caFile),
    cert: await read('certFile', certFile),
    key: await read('keyFile', keyFile)
  }
}

/** @throws ConfigError naming the setting whose file cannot be read */
export async function readTextFile(setting: string, fileName: string): Promise<string> {
  try {
    return await readFile(fileName, 'utf8')
  } catch (error) {
    throw unreadable(setting, fileName, error)
  }
}

/** Problems with the files of a section. They are checked at the start. */
export function problemsOfTlsFiles(section: string, tls: TlsFiles): string[] {
  try {
    const { ca, cert, key } = readTlsFiles(section, tls)
    createSecureContext({ ca, cert, key })
    const isNoCertificate = ca !== undefined && !ca.includes('-----BEGIN CERTIFICATE-----')
    return isNoCertificate ? [`${section}.caFile: ${tls.caFile} has no certificate in PEM form`] : []
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n')
    return [`${section}: the files cannot be used: ${whyUnusable(error as Error)}`]
  }
}

/** Problems with the file of certificate authorities for the token URL. They are checked at the start. */
export function problemsOfTokenCaFile(clusterName: string, sasl: SaslSettings): string[] {
  try {
    const ca = readTokenCaFile(clusterName, sasl)
    const isNoCertificate = ca !== undefined && !ca.includes('-----BEGIN CERTIFICATE-----')
    return isNoCertificate
      ? [`clusters.${clusterName}.sasl.tokenCaFile: ${sasl.tokenCaFile} has no certificate in PEM form`]
      : []
  } catch (error) {
    return [messageOf(error)]
  }
}
