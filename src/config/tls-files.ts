import { readFileSync } from 'node:fs'
import { ConfigError } from '../errors.js'
import type { ClusterSettings } from './cluster-settings.js'

/** The PEM texts behind the file names of a cluster's TLS settings. */
export interface TlsMaterial {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
}

/** Whoever writes a key itself where the name of its file belongs must not find it in the log. */
const nameOf = (fileName: string): string =>
  /-----|\s/.test(fileName) ? 'the file; write its name here, not its content' : fileName

/**
 * Reads the files; the wire takes contents, since only few rooms may touch files.
 *
 * @throws ConfigError naming the setting whose file cannot be read
 */
export function readTlsFiles(clusterName: string, { caFile, certFile, keyFile }: ClusterSettings['tls']): TlsMaterial {
  const read = (setting: string, fileName: string | undefined): string | undefined => {
    if (fileName === undefined) return undefined
    try {
      return readFileSync(fileName, 'utf8')
    } catch (error) {
      throw new ConfigError(
        `clusters.${clusterName}.tls.${setting}: cannot read ${nameOf(fileName)} (${(error as NodeJS.ErrnoException).code})`
      )
    }
  }
  return { ca: read('caFile', caFile), cert: read('certFile', certFile), key: read('keyFile', keyFile) }
}
