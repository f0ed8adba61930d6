//! Compiles `proto/` without protoc and refuses what must not be served: an RPC without a policy or an HTTP rule.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};

const PROTOS: [&str; 15] = [
    "gatepost/v1/alerts.proto",
    "gatepost/v1/auth.proto",
    "gatepost/v1/clients.proto",
    "gatepost/v1/error_reason.proto",
    "gatepost/v1/grants.proto",
    "gatepost/v1/issuers.proto",
    "gatepost/v1/keys.proto",
    "gatepost/v1/leaks.proto",
    "gatepost/v1/limits.proto",
    "gatepost/v1/products.proto",
    "gatepost/v1/projects.proto",
    "gatepost/v1/sessions.proto",
    "gatepost/v1/usage.proto",
    "gatepost/v1/users.proto",
    "gatepost/v1/webhooks.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(PROTOS.iter().chain(&["google/rpc/error_details.proto", "google/rpc/status.proto"]))?;

    let pool = compiler.descriptor_pool();
    check_methods(&pool)?;
    write_methods(&pool, &out)?;
    write_dispatch(&pool, &out)?;

    // prost's own FileDescriptorSet drops custom options, so the bytes that carry the policies and the HTTP rules come
    // straight from the compiler; only tonic's code generator is given prost's form.
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    write_services(&compiler.file_descriptor_set(), &out)
}

/// Fails on a method of ours that says not who may call it, or that HTTP clients cannot reach.
fn check_methods(pool: &DescriptorPool) -> Result<(), Box<dyn Error>> {
    let policy = pool.get_extension_by_name("gatepost.v1.policy").ok_or("policy.proto does not define the option")?;
    let http = pool.get_extension_by_name("google.api.http").ok_or("annotations.proto is not vendored")?;
    for method in pool.services().flat_map(|s| s.methods().collect::<Vec<_>>()) {
        let options = method.options();
        if !options.has_extension(&http) {
            return Err(format!("{}: no google.api.http rule", method.full_name()).into());
        }
        if !options.has_extension(&policy) {
            return Err(format!("{}: no gatepost.v1.policy", method.full_name()).into());
        }
        if let Value::Message(policy) = options.get_extension(&policy).as_ref() {
            check_policy(&method, policy)?;
        }
    }
    Ok(())
}

fn check_policy(method: &MethodDescriptor, policy: &DynamicMessage) -> Result<(), Box<dyn Error>> {
    let flag = |name: &str| policy.get_field_by_name(name).and_then(|v| v.as_bool()).unwrap_or(false);
    let scopes =
        policy.get_field_by_name("scopes").and_then(|v| v.as_list().map(<[Value]>::to_vec)).unwrap_or_default();
    let ways = usize::from(flag("public")) + usize::from(flag("authenticated")) + usize::from(!scopes.is_empty());
    if ways != 1 {
        let rule = "its policy must give exactly one of `public`, `authenticated` and `scopes`";
        return Err(format!("{}: {rule}", method.full_name()).into());
    }
    if policy.has_field_by_name("cost") && policy.get_field_by_name("cost").and_then(|v| v.as_u32()) == Some(0) {
        return Err(format!("{}: a call costs at least 1", method.full_name()).into());
    }
    let admin = scopes.iter().any(|scope| scope.as_str() == Some("admin"));
    if flag("installation") && (!admin || flag("publishable")) {
        let rule = "what is for administrators of the installation needs the scope admin and takes no publishable key";
        return Err(format!("{}: {rule}", method.full_name()).into());
    }
    Ok(())
}

/// Writes the list of our methods; a method's place in it is its `MethodId`.
fn write_methods(pool: &DescriptorPool, out: &Path) -> Result<(), Box<dyn Error>> {
    let methods: Vec<MethodDescriptor> = pool.services().flat_map(|s| s.methods().collect::<Vec<_>>()).collect();
    let path = |m: &MethodDescriptor| format!("/{}/{}", m.parent_service().full_name(), m.name());
    let paths: Vec<String> = methods.iter().map(path).collect();
    let streaming: Vec<bool> = methods.iter().map(MethodDescriptor::is_server_streaming).collect();
    let count = methods.len();
    let verify = methods.iter().position(|m| m.full_name() == "gatepost.v1.Auth.Verify").ok_or("there is no Verify")?;
    let list = format!(
        "/// The paths of all RPCs; the place of one is its `MethodId`.\npub const METHODS: [&str; {count}] = {paths:?};\n\
         const STREAMING: [bool; {count}] = {streaming:?};\n\
         /// `Auth.Verify`.\npub const VERIFY: MethodId = MethodId({verify});\n"
    );
    fs::write(out.join("methods.rs"), list)?;
    Ok(())
}

/// Writes `Services`, which holds an implementation of each service, and how it calls each method by its `MethodId`.
fn write_dispatch(pool: &DescriptorPool, out: &Path) -> Result<(), Box<dyn Error>> {
    let [mut parameters, mut bounds, mut fields, mut clones, mut arms] = [const { String::new() }; 5];
    let mut id = 0;
    for service in pool.services() {
        let package = service.package_name();
        let module = package.strip_prefix("gatepost.").ok_or_else(|| format!("{package}: not a package of ours"))?;
        let (name, field) = (service.name(), snake_case(service.name()));
        writeln!(parameters, "{name},")?;
        writeln!(bounds, "{name}: {module}::{field}_server::{name},")?;
        writeln!(fields, "/// Implements `{}`.\npub {field}: Arc<{name}>,", service.full_name())?;
        writeln!(clones, "{field}: self.{field}.clone(),")?;
        for method in service.methods() {
            let how = if method.is_server_streaming() { "streaming" } else { "unary" };
            let function = snake_case(method.name());
            writeln!(arms, "{id} => {how}(self.{field}.{function}(decode(call)?).await),")?;
            id += 1;
        }
    }
    let code = format!(
        "/// An implementation of each service.\n#[derive(Debug)]\npub struct Services<{parameters}> {{ {fields} }}\n\
         impl<{parameters}> Clone for Services<{parameters}> {{ fn clone(&self) -> Self {{ Self {{ {clones} }} }} }}\n\
         impl<C: Context, {bounds}> Dispatch<C> for Services<{parameters}> {{\n\
         async fn dispatch(&self, call: Call<C>) -> Result<Reply, Status> {{\n\
         match call.method.index() {{\n{arms}_ => Err(Status::unimplemented(\"\")),\n}}\n}}\n}}\n"
    );
    fs::write(out.join("dispatch.rs"), code)?;
    Ok(())
}

/// `WhoAmI` as `who_am_i`, as the code generator names functions and modules.
fn snake_case(name: &str) -> String {
    let mut out = String::new();
    let letters: Vec<char> = name.chars().collect();
    for (index, letter) in letters.iter().enumerate() {
        let after_lower = index > 0 && !letters[index - 1].is_uppercase();
        let before_lower = letters.get(index + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && index > 0 && (after_lower || before_lower) {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

fn write_services(files: &impl Message, out: &Path) -> Result<(), Box<dyn Error>> {
    let mut files = tonic_prost_build::FileDescriptorSet::decode(files.encode_to_vec().as_slice())?;
    files.file.retain(|file| !file.package().starts_with("google.rpc"));
    // The names let a message find its descriptor (`prost::Name`).
    let mut config = prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure().btree_map(".").out_dir(out).compile_fds_with_config(files, config)?;
    Ok(())
}
