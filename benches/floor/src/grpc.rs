//! Stock tonic and stock tonic-web: generated services on `tonic::transport::Server` with its defaults.

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_web::GrpcWebLayer;

use crate::limits;
use v1::auth_server::{Auth, AuthServer};
use v1::products_server::{Products, ProductsServer};

pub async fn serve(address: SocketAddr, answers: &Path) -> Result<(), Box<dyn Error>> {
    let floor = Floor::load(answers)?;
    let server = Server::builder().add_service(AuthServer::new(floor.clone())).add_service(ProductsServer::new(floor));
    Ok(server.serve(address).await?)
}

pub async fn serve_web(address: SocketAddr, answers: &Path) -> Result<(), Box<dyn Error>> {
    let floor = Floor::load(answers)?;
    let server = Server::builder()
        .accept_http1(true)
        .layer(GrpcWebLayer::new())
        .add_service(AuthServer::new(floor.clone()))
        .add_service(ProductsServer::new(floor));
    Ok(server.serve(address).await?)
}

#[derive(Clone)]
struct Floor {
    verify: Answer<v1::VerifyResponse>,
    whoami: Answer<v1::WhoAmIResponse>,
    product: Answer<v1::GetProductResponse>,
}

#[derive(Clone)]
struct Answer<M> {
    message: M,
    tells_limits: bool,
}

impl Floor {
    fn load(answers: &Path) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            verify: Answer::load(answers, "verify")?,
            whoami: Answer::load(answers, "whoami")?,
            product: Answer::load(answers, "product")?,
        })
    }
}

impl<M: Message + Clone + Default> Answer<M> {
    fn load(answers: &Path, name: &str) -> Result<Self, Box<dyn Error>> {
        let message = M::decode(fs::read(answers.join(format!("{name}.pb")))?.as_slice())?;
        Ok(Self { message, tells_limits: answers.join(format!("{name}.limits")).exists() })
    }

    fn give(&self) -> Response<M> {
        let mut response = Response::new(self.message.clone());
        if self.tells_limits {
            *response.metadata_mut() = MetadataMap::from_headers(limits::told());
        }
        response
    }
}

#[tonic::async_trait]
impl Auth for Floor {
    async fn verify(&self, _: Request<v1::VerifyRequest>) -> Result<Response<v1::VerifyResponse>, Status> {
        Ok(self.verify.give())
    }

    async fn who_am_i(&self, _: Request<v1::WhoAmIRequest>) -> Result<Response<v1::WhoAmIResponse>, Status> {
        Ok(self.whoami.give())
    }
}

#[tonic::async_trait]
impl Products for Floor {
    async fn get_product(&self, _: Request<v1::GetProductRequest>) -> Result<Response<v1::GetProductResponse>, Status> {
        Ok(self.product.give())
    }
}

#[allow(clippy::all, dead_code, reason = "generated for all of the API, of which three methods are called")]
mod v1 {
    tonic::include_proto!("gatepost.v1");
}
