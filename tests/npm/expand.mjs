// Reads a FHIR package as other programs do, offline, and prints as JSON what a ValueSet expands to and has.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FhirPackageExplorer } from "fhir-package-explorer";
import { FhirPackageInstaller } from "fhir-package-installer";
import { FhirTerminologyRuntime } from "fhir-terminology-runtime";

const [cachePath, tarball, id, version, fhirVersion, valueSet, ...codes] = process.argv.slice(2);
const r = `r${fhirVersion[0]}`;
// What HL7 publishes is not needed to expand codes of ours: empty packages stand for it, so that nothing is fetched.
const empty = { [`hl7.fhir.${r}.core`]: fhirVersion, [`hl7.terminology.${r}`]: "1.0.0", [`hl7.fhir.uv.extensions.${r}`]: "1.0.0" };
for (const [name, version] of Object.entries(empty)) {
  const folder = join(cachePath, `${name}#${version}`, "package");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "package.json"), JSON.stringify({ name, version, fhirVersions: [fhirVersion] }));
  await writeFile(join(folder, ".index.json"), JSON.stringify({ "index-version": 1, files: [] }));
}
const options = { cachePath, registryUrl: "n/a" };
await new FhirPackageInstaller(options).installLocalPackage(tarball);
const fpe = await FhirPackageExplorer.create({ ...options, context: [{ id, version }], fhirVersion });
const runtime = await FhirTerminologyRuntime.create({ fpe, cacheMode: "none", fhirVersion });
const { total, contains } = (await runtime.expandValueSet(valueSet)).expansion;
const members = {};
for (const code of codes) members[code] = await runtime.inValueSet(code, valueSet);
console.log(JSON.stringify({ total, contains, members }));
