import { ConfigError } from './errors.js'
import { codeOf } from './node-errors.js'

/**
 * Loads a package that a program installs only if it uses it.
 *
 * @param what needs it, as the beginning of a sentence: `createPrometheusMetrics`
 * @throws ConfigError that names the package, when it is not installed
 */
export function loadOptional<Module>(what: string, name: string, load: () => Module): Module {
  try {
    return load()
  } catch (error) {
    if (codeOf(error) !== 'MODULE_NOT_FOUND') throw error
    throw new ConfigError(`${what} needs the package ${name}, which is not installed: npm install ${name}`, error)
  }
}
